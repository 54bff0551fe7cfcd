//! Writes to one side that are decided, stored, and wait to be sent.
//!
//! A record has one write under way at most, so writes may overtake each other: what one call can carry is put
//! together, and what takes something away from nobody waits for opt-outs.

use std::collections::VecDeque;

use samspel_model::Guard;
use samspel_model::intent::{Effect, Intent};

/// What a write does. A call carries writes of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    Create,
    Update,
    Removal,
}

impl Kind {
    /// What an intent does.
    pub fn of(intent: &Intent) -> Self {
        match intent.effect {
            Effect::Create => Self::Create,
            Effect::Update(_) => Self::Update,
            Effect::Remove(..) => Self::Removal,
        }
    }
}

/// The writes that wait, by what they do.
#[derive(Debug, Default)]
pub struct Outbox {
    /// Opt-outs, ahead of everything else.
    restricting: VecDeque<Intent>,
    creates: VecDeque<Intent>,
    updates: VecDeque<Intent>,
    removals: VecDeque<Intent>,
}

impl Outbox {
    /// How many wait.
    pub fn len(&self) -> usize {
        self.restricting.len() + self.creates.len() + self.updates.len() + self.removals.len()
    }

    /// Takes a write behind those that wait.
    pub fn push(&mut self, intent: Intent) {
        self.queue_of(&intent).push_back(intent);
    }

    /// Takes back what was sent in vain, in its order, ahead of those that wait.
    pub fn push_again(&mut self, intents: Vec<Intent>) {
        for intent in intents.into_iter().rev() {
            self.queue_of(&intent).push_front(intent);
        }
    }

    /// Everything that waits.
    pub fn drain(&mut self) -> Vec<Intent> {
        self.queues_mut()
            .into_iter()
            .flat_map(std::mem::take)
            .collect()
    }

    /// The next call: up to `size` writes of one kind, of those of which most wait. A call that is not full is not made
    /// for a kind that is to `wait`, unless it carries opt-outs.
    pub fn next_call(&mut self, size: usize, wait: impl Fn(Kind) -> bool) -> Vec<Intent> {
        let size = size.max(1);
        let queue = if self.restricting.is_empty() {
            let worthwhile = [
                (Kind::Create, &mut self.creates),
                (Kind::Update, &mut self.updates),
                (Kind::Removal, &mut self.removals),
            ]
            .into_iter()
            .filter(|(kind, queue)| queue.len() >= size || !wait(*kind))
            .max_by_key(|(_, queue)| queue.len());
            match worthwhile {
                Some((_, queue)) => queue,
                None => return Vec::new(),
            }
        } else {
            &mut self.restricting
        };
        let alike = queue.front().map(Kind::of);
        let take = queue
            .iter()
            .take(size)
            .take_while(|next| Some(Kind::of(next)) == alike)
            .count();
        queue.drain(..take).collect()
    }

    fn queue_of(&mut self, intent: &Intent) -> &mut VecDeque<Intent> {
        if intent.restricts && Guard::OptOutGoesFirst.stands() {
            return &mut self.restricting;
        }
        match Kind::of(intent) {
            Kind::Create => &mut self.creates,
            Kind::Update => &mut self.updates,
            Kind::Removal => &mut self.removals,
        }
    }

    fn queues_mut(&mut self) -> [&mut VecDeque<Intent>; 4] {
        [
            &mut self.restricting,
            &mut self.creates,
            &mut self.updates,
            &mut self.removals,
        ]
    }
}

#[cfg(test)]
mod tests {
    use samspel_model::{Base, Fields, RecordId, Side};

    use super::*;

    fn write(id: &str, effect: Effect, restricts: bool) -> Intent {
        Intent {
            id: id.to_owned(),
            run: String::new(),
            target: Side::B,
            source_record: RecordId::from(id),
            link: None,
            effect,
            patch: Fields::new(),
            before: Fields::new(),
            consents: Vec::new(),
            deliverability: None,
            precondition: None,
            base: Base::default(),
            shared: Vec::new(),
            restricts,
            and_more: false,
            overrules: None,
            told: Vec::new(),
            lost: None,
        }
    }

    fn create(id: &str) -> Intent {
        write(id, Effect::Create, false)
    }

    fn update(id: &str, restricts: bool) -> Intent {
        write(id, Effect::Update(RecordId::from(id)), restricts)
    }

    fn ids(call: &[Intent]) -> Vec<&str> {
        call.iter().map(|intent| intent.id.as_str()).collect()
    }

    #[test]
    fn what_one_call_can_carry_is_put_together() {
        let mut outbox = Outbox::default();
        for intent in [
            create("1"),
            update("2", false),
            create("3"),
            update("4", false),
            create("5"),
        ] {
            outbox.push(intent);
        }
        assert_eq!(ids(&outbox.next_call(2, |_| true)), ["1", "3"]);
        assert_eq!(ids(&outbox.next_call(2, |_| true)), ["2", "4"]);
        assert!(outbox.next_call(2, |_| true).is_empty());
        assert_eq!(ids(&outbox.next_call(2, |_| false)), ["5"]);
        assert_eq!(outbox.len(), 0);
    }

    #[test]
    fn opt_outs_overtake_and_wait_for_no_company() {
        let mut outbox = Outbox::default();
        outbox.push(create("1"));
        outbox.push(update("2", true));
        assert_eq!(ids(&outbox.next_call(20, |_| true)), ["2"]);
    }

    #[test]
    fn what_was_sent_in_vain_comes_first_and_in_order() {
        let mut outbox = Outbox::default();
        outbox.push(create("3"));
        outbox.push_again(vec![create("1"), create("2")]);
        assert_eq!(ids(&outbox.next_call(3, |_| false)), ["1", "2", "3"]);
    }

    #[test]
    fn writes_of_one_kind_do_not_wait_for_those_of_another() {
        let mut outbox = Outbox::default();
        for intent in [create("1"), create("2"), update("3", false)] {
            outbox.push(intent);
        }
        let creates_are_under_way = |kind| kind == Kind::Create;
        assert_eq!(ids(&outbox.next_call(5, creates_are_under_way)), ["3"]);
        assert!(outbox.next_call(5, creates_are_under_way).is_empty());
        assert_eq!(outbox.len(), 2);
    }
}
