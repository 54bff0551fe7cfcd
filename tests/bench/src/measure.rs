//! The two contests: the floor's client and then Samspel, each with simulators of its own that hold the same people.

use std::collections::HashMap;
use std::time::Instant;

use crate::error::BenchError;
use crate::floor;
use crate::programs::Programs;
use crate::report::{FloorLeg, FloorReport, MemoryReport, SamspelLeg, VerifyReport};
use crate::samspel::Installation;
use crate::simulators::{Control, Scene, Simulators};
use crate::usage::Usage;

/// The latency of the second contest, in milliseconds, which the report's names tell as well.
pub const LATENCY_MS: u64 = 50;

/// How many records that differ are shown, per simulator and leg.
const SAMPLES: usize = 3;

/// What is measured.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// Contacts in HubSpot.
    pub contacts: u64,
    /// Seed of the test people.
    pub seed: u64,
    /// How often each leg is run; the fastest counts.
    pub rounds: u32,
}

/// Measures the floor and Samspel, without latency and with it.
///
/// # Errors
/// A leg that does not come to its end.
pub async fn floor(programs: &Programs, wanted: Wanted) -> Result<FloorReport, BenchError> {
    let mut differences = Vec::new();
    let (floor, samspel) = contest(programs, wanted, 0, &mut differences).await?;
    let (floor_50ms, samspel_50ms) =
        contest(programs, wanted, LATENCY_MS, &mut differences).await?;
    Ok(FloorReport {
        contacts: wanted.contacts,
        seed: wanted.seed,
        rounds: wanted.rounds,
        profile: programs.profile.clone(),
        ratio: samspel.seconds / floor.seconds,
        ratio_50ms: samspel_50ms.seconds / floor_50ms.seconds,
        floor,
        samspel,
        floor_50ms,
        samspel_50ms,
        same_state: differences.is_empty(),
        differences,
    })
}

/// Runs Samspel once and tells how much memory it needed.
///
/// # Errors
/// A run that does not come to its end.
pub async fn memory(programs: &Programs, wanted: Wanted) -> Result<MemoryReport, BenchError> {
    let (simulators, samspel) = samspel_leg(programs, scene(wanted, 0)).await?;
    simulators.stop().await;
    Ok(MemoryReport {
        contacts: wanted.contacts,
        profile: programs.profile.clone(),
        samspel,
    })
}

/// Compares both sides after a first sync and tells how much memory that needed.
///
/// # Errors
/// A run that does not come to its end.
pub async fn verify(programs: &Programs, wanted: Wanted) -> Result<VerifyReport, BenchError> {
    let simulators = Simulators::start(&programs.vendors, scene(wanted, 0)).await?;
    let installation = Installation::new(&programs.samspel, &simulators.access)?;
    let first = sync(&simulators, &installation).await?;
    eprintln!("first sync: {:.1} s", first.seconds);
    let compared = installation.verify().await?;
    simulators.stop().await;
    Ok(VerifyReport {
        contacts: wanted.contacts,
        profile: programs.profile.clone(),
        links: compared.report.links,
        unequal: compared.report.unequal,
        seconds: compared.seconds,
        peak_rss_mb: compared.usage.map(|usage| usage.peak_rss_mb),
        first,
    })
}

fn scene(wanted: Wanted, latency_ms: u64) -> Scene {
    Scene {
        contacts: wanted.contacts,
        seed: wanted.seed,
        latency_ms,
    }
}

/// The fastest legs of several rounds.
async fn contest(
    programs: &Programs,
    wanted: Wanted,
    latency_ms: u64,
    differences: &mut Vec<String>,
) -> Result<(FloorLeg, SamspelLeg), BenchError> {
    let scene = scene(wanted, latency_ms);
    let mut fastest = round(programs, scene, differences).await?;
    for _ in 1..wanted.rounds {
        let (floor, samspel) = round(programs, scene, differences).await?;
        if floor.seconds < fastest.0.seconds {
            fastest.0 = floor;
        }
        if samspel.seconds < fastest.1.seconds {
            fastest.1 = samspel;
        }
    }
    Ok(fastest)
}

async fn round(
    programs: &Programs,
    scene: Scene,
    differences: &mut Vec<String>,
) -> Result<(FloorLeg, SamspelLeg), BenchError> {
    let (of_floor, floor) = floor_leg(programs, scene).await?;
    eprintln!(
        "{} ms latency: floor {:.2} s",
        scene.latency_ms, floor.seconds
    );
    let (of_samspel, samspel) = samspel_leg(programs, scene).await?;
    eprintln!(
        "{} ms latency: samspel {:.2} s",
        scene.latency_ms, samspel.seconds
    );
    compare(of_floor.control(), of_samspel.control(), differences).await?;
    of_floor.stop().await;
    of_samspel.stop().await;
    Ok((floor, samspel))
}

async fn floor_leg(
    programs: &Programs,
    scene: Scene,
) -> Result<(Simulators, FloorLeg), BenchError> {
    let simulators = Simulators::start(&programs.vendors, scene).await?;
    let before = computed(&simulators);
    let began = Instant::now();
    let written = floor::run(&simulators.access).await?;
    let seconds = began.elapsed().as_secs_f64();
    let endpoints = simulators.control().requests().await?;
    let leg = FloorLeg {
        seconds,
        simulators_cpu_seconds: since(before, computed(&simulators)),
        requests: endpoints.values().sum(),
        endpoints,
        written,
    };
    Ok((simulators, leg))
}

async fn samspel_leg(
    programs: &Programs,
    scene: Scene,
) -> Result<(Simulators, SamspelLeg), BenchError> {
    let simulators = Simulators::start(&programs.vendors, scene).await?;
    let installation = Installation::new(&programs.samspel, &simulators.access)?;
    let leg = sync(&simulators, &installation).await?;
    Ok((simulators, leg))
}

/// A first sync.
async fn sync(
    simulators: &Simulators,
    installation: &Installation,
) -> Result<SamspelLeg, BenchError> {
    installation.prepare().await?;
    simulators.control().reset().await?;
    let before = computed(simulators);
    let watched = installation.run().await?;
    let endpoints = simulators.control().requests().await?;
    Ok(SamspelLeg {
        seconds: watched.seconds,
        run_seconds: watched.report.seconds,
        cpu_seconds: watched.usage.map(|usage| usage.cpu_seconds),
        simulators_cpu_seconds: since(before, computed(simulators)),
        peak_rss_mb: watched.usage.map(|usage| usage.peak_rss_mb),
        requests: endpoints.values().sum(),
        endpoints,
        writes: watched.report.writes,
        conflicts: watched.report.conflicts,
        parked: watched.report.parked,
        pending: watched.report.pending,
    })
}

fn computed(simulators: &Simulators) -> Option<f64> {
    let usage = simulators.process().and_then(Usage::of)?;
    Some(usage.cpu_seconds)
}

fn since(before: Option<f64>, after: Option<f64>) -> Option<f64> {
    Some(after? - before?)
}

/// Notes how the end state of one leg differs from the other's.
async fn compare(
    floor: &Control,
    samspel: &Control,
    differences: &mut Vec<String>,
) -> Result<(), BenchError> {
    let (floors, samspels) = (floor.digests().await?, samspel.digests().await?);
    for (simulator, name) in ["HubSpot", "Mailchimp"].into_iter().enumerate() {
        if floors[simulator] == samspels[simulator] {
            continue;
        }
        let (a, b) = (
            floor.records(simulator).await?,
            samspel.records(simulator).await?,
        );
        let mut count: HashMap<&str, i32> = HashMap::new();
        a.lines()
            .for_each(|line| *count.entry(line).or_default() += 1);
        b.lines()
            .for_each(|line| *count.entry(line).or_default() -= 1);
        let of_floor = a
            .lines()
            .filter(|line| count.get(line).is_some_and(|n| *n > 0));
        let of_samspel = b
            .lines()
            .filter(|line| count.get(line).is_some_and(|n| *n < 0));
        let note = |leg: &str| {
            let name = name.to_owned();
            let leg = leg.to_owned();
            move |line: &str| format!("{name} after {leg} only: {line}")
        };
        differences.extend(of_floor.take(SAMPLES).map(note("the floor")));
        differences.extend(of_samspel.take(SAMPLES).map(note("Samspel")));
    }
    Ok(())
}
