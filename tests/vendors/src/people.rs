//! Test people: realistic, unpleasant in the ways real contact lists are, and the same for the same seed.
//!
//! Each person is drawn from a generator of its own (seed, index), so that person 90,000 can be had without the 89,999
//! before it, and both simulators agree about who person 17 is.
//!
//! What the mix holds, roughly: 4 % without an e-mail address, 8 % with a plus-address, 10 % with a name in decomposed
//! Unicode (NFD), 5 % with blanks around a name, 25 % without a phone and 6 % who share theirs with colleagues, phones
//! in five formats, 2 % who appear twice (the second time without an address), 6 % opted out, half with evidence of an
//! opt-in, 1.5 % whose address bounced. One in five of those with an address is already in Mailchimp, some of them
//! unsubscribed, cleaned or archived there, with names typed differently.

mod names;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use unicode_normalization::UnicodeNormalization;

use names::{CITIES, COMPANIES, FIRST, LAST, MAIL_SERVICES, TITLES};

/// What a person said about being mailed, as HubSpot knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// Never asked.
    NotSpecified,
    /// Opted in; HubSpot holds the time and the legal basis.
    OptedIn {
        /// How many days before the seeding.
        days_ago: i64,
    },
    /// Opted out of everything.
    OptedOut {
        /// How many days before the seeding.
        days_ago: i64,
    },
}

/// What Mailchimp says about a person that it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListStanding {
    /// Receives mail.
    Subscribed,
    /// Has left.
    Unsubscribed,
    /// Bounced for good.
    Cleaned,
    /// Was archived.
    Archived,
}

/// One test person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Which one it is.
    pub index: u64,
    /// First name, as typed.
    pub first: Option<String>,
    /// Last name, as typed.
    pub last: Option<String>,
    /// E-mail address in lower case; no two persons of one seed share one.
    pub email: Option<String>,
    /// Phone in whatever format it was typed.
    pub phone: Option<String>,
    /// Employer.
    pub company: Option<String>,
    /// Work title.
    pub title: Option<String>,
    /// City.
    pub city: Option<String>,
    /// ISO country code.
    pub country: Option<String>,
    /// A customer number, unique where there is one.
    pub customer_number: Option<String>,
    /// Permission, as HubSpot knows it.
    pub permission: Permission,
    /// The address bounced for good.
    pub bounced: bool,
    /// Created this many milliseconds before the seeding.
    pub age_ms: i64,
    /// How Mailchimp holds this person, when it does.
    pub in_mailchimp: Option<ListStanding>,
}

const DAY_MS: i64 = 86_400_000;

/// How many people only Mailchimp knows, when HubSpot holds `count`: 2 %.
#[must_use]
pub fn only_in_mailchimp(count: u64) -> u64 {
    count / 50
}

/// Person number `index` of this seed.
#[must_use]
pub fn person(seed: u64, index: u64) -> Person {
    // One in fifty repeats the one before, without an address: the duplicate that a form without a login makes.
    if index % 50 == 49 {
        let mut twin = draw(seed, index - 1);
        twin.index = index;
        twin.email = None;
        twin.customer_number = None;
        twin.permission = Permission::NotSpecified;
        twin.bounced = false;
        twin.in_mailchimp = None;
        return twin;
    }
    draw(seed, index)
}

fn draw(seed: u64, index: u64) -> Person {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(index);
    let mut chance = |percent: f64| rng.random_bool(percent / 100.0);
    let has_email = !chance(4.0);
    let plus = chance(8.0);
    let decomposed = chance(10.0);
    let padded = chance(5.0);
    let employed = chance(45.0);
    let no_first = chance(3.0);
    let no_last = chance(6.0);
    let has_phone = chance(75.0);
    let shared_phone = employed && chance(6.0);
    let has_city = chance(70.0);
    let has_title = employed && chance(60.0);
    let has_number = chance(30.0);
    let bounced = has_email && chance(1.5);
    let opted_out = chance(6.0);
    let opted_in = chance(50.0);
    let listed = has_email && chance(20.0);

    let (first, first_ascii) = pick(&mut rng, FIRST);
    let (last, last_ascii) = pick(&mut rng, LAST);
    let (company, company_domain) = pick(&mut rng, COMPANIES);
    let (city, country, calling_code, digits) = pick(&mut rng, CITIES);
    let domain = if employed {
        company_domain
    } else {
        pick(&mut rng, MAIL_SERVICES)
    };

    let email = has_email.then(|| {
        let tag = if plus {
            pick(&mut rng, &["+news", "+crm", "+kund"])
        } else {
            ""
        };
        let local = match rng.random_range(0..4) {
            0 => format!("{first_ascii}.{last_ascii}{index}"),
            1 => format!("{}.{last_ascii}{index}", &first_ascii[..1]),
            2 => format!("{first_ascii}_{index}"),
            _ => format!("{last_ascii}.{first_ascii}.{index}"),
        };
        format!("{local}{tag}@{domain}")
    });
    let phone = has_phone.then(|| {
        if shared_phone {
            // A switchboard: everyone at the company has the same one.
            format!(
                "+46 31 {:03} {:02} {:02}",
                100 + company.len(),
                domain.len(),
                10
            )
        } else {
            phone(&mut rng, calling_code, digits)
        }
    });
    let name = |text: &str| {
        let text = if decomposed {
            text.nfd().collect::<String>()
        } else {
            text.to_owned()
        };
        if padded { format!(" {text}  ") } else { text }
    };
    let permission = if opted_out && email.is_some() {
        Permission::OptedOut {
            days_ago: rng.random_range(1..400),
        }
    } else if opted_in && email.is_some() {
        Permission::OptedIn {
            days_ago: rng.random_range(1..1_500),
        }
    } else {
        Permission::NotSpecified
    };
    let standing = match rng.random_range(0..100) {
        0..8 => ListStanding::Unsubscribed,
        8..11 => ListStanding::Cleaned,
        11..12 => ListStanding::Archived,
        _ => ListStanding::Subscribed,
    };
    Person {
        index,
        first: (!no_first).then(|| name(first)),
        last: (!no_last).then(|| name(last)),
        email,
        phone,
        company: employed.then(|| company.to_owned()),
        title: has_title.then(|| pick(&mut rng, TITLES).to_owned()),
        city: has_city.then(|| city.to_owned()),
        country: has_city.then(|| country.to_owned()),
        customer_number: has_number.then(|| format!("K-{:06}", index + 1)),
        permission,
        bounced,
        age_ms: rng.random_range(DAY_MS..1_500 * DAY_MS),
        in_mailchimp: listed.then_some(standing),
    }
}

fn pick<T: Copy>(rng: &mut ChaCha8Rng, table: &[T]) -> T {
    table[rng.random_range(0..table.len())]
}

fn phone(rng: &mut ChaCha8Rng, calling_code: u16, digits: u32) -> String {
    let first = 10_u64.pow(digits - 1);
    // A mobile number in most of these countries begins with 7; what matters is that it is long enough.
    let number = 7 * first + rng.random_range(0..first);
    let text = number.to_string();
    match rng.random_range(0..5) {
        0 => format!("+{calling_code}{text}"),
        1 => format!("+{calling_code} {} {}", &text[..2], &text[2..]),
        2 => format!("00{calling_code}{text}"),
        3 => format!("0{}-{}", &text[..2], &text[2..]),
        _ => format!(
            "+{calling_code} (0) {}/{} {}",
            &text[..2],
            &text[2..5],
            &text[5..]
        ),
    }
}

impl Person {
    /// The same person as an assistant typed it into Mailchimp: names trimmed, recomposed and sometimes in capitals,
    /// the address sometimes with a capital. `None` when Mailchimp does not hold this person.
    #[must_use]
    pub fn as_member(&self) -> Option<(ListStanding, Person)> {
        let standing = self.in_mailchimp?;
        let tidy = |name: &Option<String>, shout: bool| {
            name.as_deref().map(|n| {
                let n: String = n.trim().nfc().collect();
                if shout { n.to_uppercase() } else { n }
            })
        };
        let mut member = self.clone();
        member.first = tidy(&self.first, false);
        member.last = tidy(&self.last, self.index.is_multiple_of(7));
        if self.index.is_multiple_of(5)
            && let Some(email) = &self.email
        {
            member.email = Some(email[..1].to_uppercase() + &email[1..]);
        }
        Some((standing, member))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_people_and_another_seed_others() {
        assert_eq!(person(3, 17), person(3, 17));
        assert_ne!(person(3, 17).email, person(4, 17).email);
    }

    #[test]
    fn addresses_are_unique_and_lower_case() {
        let mut seen = HashSet::new();
        for email in (0..20_000).filter_map(|i| person(1, i).email) {
            assert_eq!(email, email.to_lowercase());
            assert!(
                email.is_ascii() && email.matches('@').count() == 1,
                "{email}"
            );
            assert!(seen.insert(email.clone()), "{email} twice");
        }
    }

    #[test]
    fn the_mix_holds_what_the_documentation_says() {
        let people: Vec<Person> = (0..10_000).map(|i| person(42, i)).collect();
        let share =
            |f: &dyn Fn(&Person) -> bool| people.iter().filter(|p| f(p)).count() as f64 / 100.0;
        let between = |name: &str, low: f64, got: f64, high: f64| {
            assert!((low..high).contains(&got), "{name}: {got} %")
        };
        between("without e-mail", 4.0, share(&|p| p.email.is_none()), 8.0);
        between(
            "plus-address",
            6.0,
            share(&|p| p.email.as_deref().is_some_and(|e| e.contains('+'))),
            10.0,
        );
        between(
            "opted out",
            4.0,
            share(&|p| matches!(p.permission, Permission::OptedOut { .. })),
            8.0,
        );
        between(
            "opted in",
            38.0,
            share(&|p| matches!(p.permission, Permission::OptedIn { .. })),
            50.0,
        );
        between("bounced", 0.8, share(&|p| p.bounced), 2.2);
        between(
            "in Mailchimp",
            16.0,
            share(&|p| p.in_mailchimp.is_some()),
            22.0,
        );
        between(
            "padded",
            3.0,
            share(&|p| p.first.as_deref().is_some_and(|n| n.starts_with(' '))),
            7.0,
        );
        let decomposed = |p: &Person| p.last.as_deref().is_some_and(|n| n.chars().ne(n.nfc()));
        between("decomposed", 1.5, share(&decomposed), 10.0);
        let phones: Vec<&str> = people.iter().filter_map(|p| p.phone.as_deref()).collect();
        assert!(
            phones.iter().collect::<HashSet<_>>().len() < phones.len(),
            "nobody shares a phone"
        );
    }

    #[test]
    fn the_twin_has_the_name_and_not_the_address() {
        let (one, twin) = (person(5, 48), person(5, 49));
        assert_eq!((&one.first, &one.last), (&twin.first, &twin.last));
        assert_eq!(twin.email, None);
    }

    #[test]
    fn a_member_has_the_same_address_in_another_spelling() {
        let (person, (_, member)) = (0..10_000)
            .map(|i| person(9, i))
            .find_map(|p| {
                (p.index % 5 == 0)
                    .then(|| p.as_member())
                    .flatten()
                    .map(|m| (p, m))
            })
            .unwrap();
        let (a, b) = (person.email.unwrap(), member.email.unwrap());
        assert_ne!(a, b);
        assert_eq!(a, b.to_lowercase());
    }
}
