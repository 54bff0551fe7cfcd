//! `samspel audit`, and the entries that the command line itself writes: who changed what from here.

use std::path::Path;

use samspel_installation::{Config, open_store};
use samspel_model::access::{Access, AuditEntry, AuditOutcome};
use samspel_model::{Clock, StoreError};
use samspel_sync::system::SystemClock;
use serde_json::{Value, json};

use crate::args::{
    AccountCommand, AuditCommand, Command, ConflictsCommand, HoldArgs, HoldsCommand, HooksCommand,
    KeyCommand, ListAuditArgs, ParkedCommand, Selection, SyncCommand, TokenCommand,
};
use crate::exit::{CliError, Exit};
use crate::output::Output;
use samspel_installation::Host;

/// Runs one of the commands.
pub async fn run(command: &AuditCommand, host: &Host, output: Output) -> Result<(), CliError> {
    let AuditCommand::List(ListAuditArgs { limit, before }) = command;
    let entries = host.access().audited(*before, *limit).await?;
    let listed: Vec<Value> = entries
        .iter()
        .map(|(number, entry)| {
            let mut object = json!(entry);
            object["number"] = json!(number);
            object
        })
        .collect();
    output.result(&json!({ "entries": listed }), |out| {
        if entries.is_empty() {
            writeln!(out, "nothing was changed yet")?;
        }
        entries.iter().try_for_each(|(number, entry)| {
            let subject = entry.subject.as_deref().unwrap_or("");
            let detail = match &entry.detail {
                Value::Object(object) if object.is_empty() => String::new(),
                detail => format!("  {detail}"),
            };
            writeln!(
                out,
                "{number:>6}  {:.0}  {}  {} {subject}  {}{detail}",
                entry.at,
                entry.who,
                entry.action,
                entry.outcome.name()
            )
        })
    })
}

/// Something that a command line changes.
pub struct Act {
    action: &'static str,
    subject: Option<String>,
    detail: Value,
}

impl Act {
    fn new(action: &'static str, subject: impl Into<Option<String>>, detail: Value) -> Self {
        Self {
            action,
            subject: subject.into(),
            detail,
        }
    }

    /// What a command changes; `None` if it only looks. Neither values nor addresses are told: the log outlives them.
    pub fn of(command: &Command) -> Option<Self> {
        match command {
            Command::Account(command) => of_account(command),
            Command::Sync(command) => of_sync(command),
            Command::Conflicts(ConflictsCommand::Resolve(args)) => {
                let mut detail = selected(&args.selection);
                detail["verdict"] = match (args.take, &args.link) {
                    (Some(side), _) => json!(format!("take {}", samspel_model::Side::from(side))),
                    (None, Some(record)) => json!(format!("link with {record}")),
                    (None, None) => json!("leave"),
                };
                let sync = args.selection.sync.clone();
                Some(Self::new("conflicts resolve", sync, detail))
            }
            Command::Holds(HoldsCommand::Approve(args)) => Some(of_holds("holds approve", args)),
            Command::Holds(HoldsCommand::Reject(args)) => Some(of_holds("holds reject", args)),
            Command::Parked(ParkedCommand::Retry(selection)) => Some(Self::new(
                "parked retry",
                selection.sync.clone(),
                selected(selection),
            )),
            Command::Parked(ParkedCommand::Drop(selection)) => Some(Self::new(
                "parked drop",
                selection.sync.clone(),
                selected(selection),
            )),
            Command::Undo(args) => Some(Self::new("undo", args.run.clone(), json!({}))),
            // Whom is not told: the entry would outlive the erasure.
            Command::Erase(args) => Some(Self::new("erase", args.sync.clone(), json!({}))),
            Command::Token(TokenCommand::Create(args)) => Some(Self::new(
                "token create",
                args.name.clone(),
                json!({ "role": args.role, "expires": args.expires }),
            )),
            Command::Hooks(HooksCommand::Rotate { name }) => {
                Some(Self::new("hooks rotate", name.clone(), json!({})))
            }
            Command::Hooks(HooksCommand::Retry { number }) => {
                Some(Self::new("hooks retry", None, json!({ "number": number })))
            }
            Command::Hooks(HooksCommand::Drop { number }) => {
                Some(Self::new("hooks drop", None, json!({ "number": number })))
            }
            Command::Token(TokenCommand::Revoke { id }) => {
                Some(Self::new("token revoke", id.clone(), json!({})))
            }
            Command::Key(KeyCommand::Rotate { .. }) => {
                Some(Self::new("key rotate", None, json!({})))
            }
            _ => None,
        }
    }

    /// Writes it, with how it ended.
    async fn write(
        self,
        store: &dyn Access,
        done: &Result<(), CliError>,
    ) -> Result<(), StoreError> {
        let exit = done.as_ref().err().map_or(Exit::Ok, CliError::exit);
        let outcome = match exit {
            Exit::Ok => AuditOutcome::Done,
            Exit::NotConfirmed => AuditOutcome::Refused,
            _ => AuditOutcome::Failed,
        };
        let mut detail = self.detail;
        if outcome != AuditOutcome::Done {
            // The word only: messages may quote what must not stay.
            detail["exit"] = json!(exit.code());
        }
        store
            .audit(AuditEntry {
                at: SystemClock.now(),
                who: who(),
                action: self.action.to_owned(),
                subject: self.subject,
                detail,
                outcome,
            })
            .await
    }
}

/// Writes what a command did into the audit log.
///
/// # Errors
/// What the command says, or else that the log could not be written.
pub async fn record(file: &Path, act: Act, done: Result<(), CliError>) -> Result<(), CliError> {
    let written = match Config::load(file) {
        Ok(config) => match open_store(&config).await {
            Ok(store) => act.write(&store, &done).await.map_err(CliError::from),
            Err(error) => Err(error.into()),
        },
        Err(error) => Err(error.into()),
    };
    match (done, written) {
        // If the store does not open, the command has failed by that, and says so.
        (Err(error), _) => Err(error),
        (Ok(()), Err(error)) => Err(error.detail(
            "audit",
            json!("it was done, and is missing in the audit log"),
        )),
        (Ok(()), Ok(())) => Ok(()),
    }
}

fn of_account(command: &AccountCommand) -> Option<Act> {
    match command {
        AccountCommand::Check { .. } => None,
        AccountCommand::Add(args) => Some(Act::new(
            "account add",
            args.name.clone(),
            json!({ "connector": args.connector }),
        )),
        AccountCommand::Remove(args) => {
            Some(Act::new("account remove", args.name.clone(), json!({})))
        }
        AccountCommand::Reauthorise(args) => Some(Act::new(
            "account reauthorise",
            args.name.clone(),
            json!({}),
        )),
        AccountCommand::Authorise(args) => {
            Some(Act::new("account authorise", args.name.clone(), json!({})))
        }
    }
}

fn of_sync(command: &SyncCommand) -> Option<Act> {
    match command {
        SyncCommand::Plan(_) | SyncCommand::Status(_) => None,
        // Runs are recorded by themselves; what is told here is that somebody agreed to one.
        SyncCommand::Run(args) => (args.yes || args.plan.is_some()).then(|| {
            let detail = json!({ "yes": args.yes, "plan": args.plan });
            Act::new("sync run", args.name.clone(), detail)
        }),
        SyncCommand::Verify(args) => args
            .heal
            .then(|| Act::new("sync heal", args.name.clone(), json!({}))),
        SyncCommand::Pause(args) => Some(Act::new(
            "sync pause",
            args.name.clone(),
            json!({ "reason": args.reason }),
        )),
        SyncCommand::Resume(sync) => Some(Act::new("sync resume", sync.name.clone(), json!({}))),
        SyncCommand::Purge(args) => Some(Act::new("sync purge", args.name.clone(), json!({}))),
        SyncCommand::Reset(args) => Some(Act::new("sync reset", args.name.clone(), json!({}))),
    }
}

fn of_holds(action: &'static str, args: &HoldArgs) -> Act {
    let mut detail = selected(&args.selection);
    if let Some(about) = &args.about {
        detail["about"] = json!(about);
    }
    Act::new(action, args.selection.sync.clone(), detail)
}

fn selected(selection: &Selection) -> Value {
    if selection.all {
        json!({ "all": true })
    } else {
        json!({ "ids": selection.ids })
    }
}

/// Who sits here: the user of the process, and who used `sudo` to become that.
fn who() -> String {
    let uid = rustix::process::getuid().as_raw();
    let name = user(uid).unwrap_or_else(|| format!("uid-{uid}"));
    let sudo = std::env::var("SUDO_USER").ok();
    match sudo.filter(|by| uid == 0 && !by.is_empty() && by.len() <= 64) {
        Some(by) => format!("cli:{name} (sudo {by})"),
        None => format!("cli:{name}"),
    }
}

/// The name of a user of this machine. One who is kept elsewhere than in the file is told by number.
fn user(uid: u32) -> Option<String> {
    let users = std::fs::read_to_string("/etc/passwd").ok()?;
    let number = uid.to_string();
    users.lines().find_map(|line| {
        let mut parts = line.split(':');
        let (name, _, id) = (parts.next()?, parts.next()?, parts.next()?);
        (id == number).then(|| name.to_owned())
    })
}
