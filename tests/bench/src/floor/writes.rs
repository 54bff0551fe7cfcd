//! Writes on their way: batches are sent as soon as they are full, while the rest is still being read.

use std::mem;

use serde::Serialize;
use tokio::task::JoinSet;

use super::FloorError;
use super::hubspot::{self, HubSpot};
use super::mailchimp::{self, Mailchimp};

/// What was written, in records.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Written {
    /// Members added.
    pub members_added: usize,
    /// Members changed.
    pub members_changed: usize,
    /// Contacts created.
    pub contacts_created: usize,
    /// Contacts changed.
    pub contacts_changed: usize,
    /// Addresses opted out at HubSpot.
    pub opt_outs: usize,
}

/// Everything that is to be written.
pub struct Writes {
    hubspot: HubSpot,
    mailchimp: Mailchimp,
    adds: Vec<mailchimp::Add>,
    creates: Vec<hubspot::Create>,
    updates: Vec<hubspot::Update>,
    opt_outs: Vec<String>,
    under_way: JoinSet<Result<(), FloorError>>,
    written: Written,
}

impl Writes {
    /// Nothing yet.
    pub fn new(hubspot: HubSpot, mailchimp: Mailchimp) -> Self {
        Self {
            hubspot,
            mailchimp,
            adds: Vec::new(),
            creates: Vec::new(),
            updates: Vec::new(),
            opt_outs: Vec::new(),
            under_way: JoinSet::new(),
            written: Written::default(),
        }
    }

    /// Adds a member.
    pub fn add(&mut self, member: mailchimp::Add) {
        self.adds.push(member);
        if self.adds.len() >= mailchimp::BATCH {
            self.send_adds();
        }
    }

    /// Changes a member.
    pub fn change(&mut self, contact_id: String, change: mailchimp::Change) {
        self.written.members_changed += 1;
        let mailchimp = self.mailchimp.clone();
        self.under_way
            .spawn(async move { mailchimp.change(&contact_id, &change).await });
    }

    /// Creates a contact.
    pub fn create(&mut self, contact: hubspot::Create) {
        self.creates.push(contact);
        if self.creates.len() >= hubspot::BATCH {
            self.send_creates();
        }
    }

    /// Changes a contact.
    pub fn update(&mut self, contact: hubspot::Update) {
        self.updates.push(contact);
        if self.updates.len() >= hubspot::BATCH {
            self.send_updates();
        }
    }

    /// Opts an address out of all e-mail.
    pub fn opt_out(&mut self, email: String) {
        self.opt_outs.push(email);
        if self.opt_outs.len() >= hubspot::BATCH {
            self.send_opt_outs();
        }
    }

    /// Sends what waits for company and does not get any more.
    pub fn flush_creates(&mut self) {
        if !self.creates.is_empty() {
            self.send_creates();
        }
    }

    /// Sends everything and waits until it is done.
    pub async fn finish(mut self) -> Result<Written, FloorError> {
        if !self.opt_outs.is_empty() {
            self.send_opt_outs();
        }
        if !self.updates.is_empty() {
            self.send_updates();
        }
        if !self.adds.is_empty() {
            self.send_adds();
        }
        self.flush_creates();
        while let Some(done) = self.under_way.join_next().await {
            done??;
        }
        Ok(self.written)
    }

    fn send_adds(&mut self) {
        let (mailchimp, adds) = (self.mailchimp.clone(), mem::take(&mut self.adds));
        self.written.members_added += adds.len();
        self.under_way
            .spawn(async move { mailchimp.add(adds).await });
    }

    fn send_creates(&mut self) {
        let (hubspot, creates) = (self.hubspot.clone(), mem::take(&mut self.creates));
        self.written.contacts_created += creates.len();
        self.under_way
            .spawn(async move { hubspot.create(creates).await });
    }

    fn send_updates(&mut self) {
        let (hubspot, updates) = (self.hubspot.clone(), mem::take(&mut self.updates));
        self.written.contacts_changed += updates.len();
        self.under_way
            .spawn(async move { hubspot.update(updates).await });
    }

    fn send_opt_outs(&mut self) {
        let (hubspot, emails) = (self.hubspot.clone(), mem::take(&mut self.opt_outs));
        self.written.opt_outs += emails.len();
        self.under_way
            .spawn(async move { hubspot.opt_out(emails).await });
    }
}
