//! Bounces and complaints. They belong to an address: they do not move when the address changes.

use samspel_model::link::DeliverabilityBase;
use samspel_model::{Deliverability, DeliverabilityState, Guard, Side};

use crate::policy::Policy;

/// What follows for a link's deliverability.
#[derive(Debug, Clone, PartialEq)]
pub struct DeliverabilityDecision {
    /// What to write to each side.
    pub to: [Option<Deliverability>; 2],
    /// The base once it is written.
    pub base: DeliverabilityBase,
}

/// Decides about the deliverability of two linked records. `address_changes`: the two addresses are not the same yet,
/// so that what is known about one says nothing about the other.
pub fn merge_deliverability(
    policy: &Policy,
    base: Option<&DeliverabilityBase>,
    said: [Option<&Deliverability>; 2],
    address_changes: bool,
) -> DeliverabilityDecision {
    let state = |side: Side| said[side.index()].map(|d| d.state.clone());
    let mut decision = DeliverabilityDecision {
        to: [None, None],
        base: DeliverabilityBase {
            a: state(Side::A),
            b: state(Side::B),
        },
    };
    if address_changes && Guard::BounceBelongsToAddress.stands() {
        return decision;
    }
    for source in Side::BOTH {
        let target = source.other();
        let Some(known) = said[source.index()] else {
            continue;
        };
        let fails = is_failing(&known.state);
        let moved = match base {
            Some(base) => image(base, source) != Some(&known.state),
            // At the first sync a failure counts, and "nothing known" does not clear one.
            None => fails,
        };
        let target_state = state(target);
        let target_moved = base.is_some_and(|base| image(base, target) != target_state.as_ref());
        let overruled = target_moved && target_state.as_ref().is_some_and(is_failing) && !fails;
        if moved
            && policy.deliverability_to[target.index()]
            && target_state.as_ref() != Some(&known.state)
            && !overruled
            // A side that never heard of a failure needs no "deliverable".
            && (fails || target_state.as_ref().is_some_and(is_failing))
        {
            decision.to[target.index()] = Some(known.clone());
            *image_mut(&mut decision.base, target) = Some(known.state.clone());
            break;
        }
    }
    decision
}

/// Whether a state says that mail fails.
pub fn is_failing(state: &DeliverabilityState) -> bool {
    matches!(
        state,
        DeliverabilityState::HardBounced
            | DeliverabilityState::SoftBounced
            | DeliverabilityState::Complained
    )
}

fn image(base: &DeliverabilityBase, side: Side) -> Option<&DeliverabilityState> {
    match side {
        Side::A => base.a.as_ref(),
        Side::B => base.b.as_ref(),
    }
}

/// The image of a side, to set it.
pub(crate) fn image_mut(
    base: &mut DeliverabilityBase,
    side: Side,
) -> &mut Option<DeliverabilityState> {
    match side {
        Side::A => &mut base.a,
        Side::B => &mut base.b,
    }
}
