//! Arguments of what an operator decides: queues, undo, history, erasure.

use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use samspel_model::Side;

/// A side of a sync, on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SideArg {
    /// The side that the configuration calls `a`.
    A,
    /// The side that the configuration calls `b`.
    B,
}

impl From<SideArg> for Side {
    fn from(side: SideArg) -> Self {
        match side {
            SideArg::A => Self::A,
            SideArg::B => Self::B,
        }
    }
}

/// Commands about decisions that are left to a person.
#[derive(Debug, Subcommand)]
pub enum ConflictsCommand {
    /// List what is undecided, grouped by what it is about
    #[command(
        after_help = "Examples:\n  samspel conflicts list\n  samspel conflicts list contacts --limit 100 --json"
    )]
    List(ListArgs),
    /// Show one: the values or records in question, and what can be said
    #[command(
        allow_missing_positional = true,
        after_help = "Examples:\n  samspel conflicts show 3f9a0c1d2e\n  samspel conflicts show contacts 3f9a0c1d2e"
    )]
    Show(ShowArgs),
    /// Say what holds; the next run carries it out
    #[command(after_help = RESOLVE)]
    Resolve(ResolveArgs),
}

const RESOLVE: &str = "What can be said depends on what is undecided:\n  \
    a field or a consent     --take a | --take b   the value of that side holds\n  \
    identity (several records with one key)   --link RECORD   it belongs to that record of the other side\n  \
                             --leave         it stays without a partner until it changes\n  \
    merge (a key that belongs to another record)   merge the two at the remote, or --leave them apart\n\n\
    --all takes every conflict that the answer fits, but no consents: lifting an opt-out is decided one by one.\n\n\
    Examples:\n  samspel conflicts resolve 3f9a0c1d2e --take a\n  \
    samspel conflicts resolve 77aa01b2c3 --link 8812\n  samspel conflicts resolve --all --take b --sync contacts";

/// Arguments of `list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// The sync, as `[syncs.NAME]` calls it; all of them if it is left out.
    pub name: Option<String>,
    /// Show at most so many of each sync. Counts are always complete.
    #[arg(long, default_value_t = 20, value_name = "N")]
    pub limit: u32,
}

/// Arguments of `conflicts show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The sync, as `[syncs.NAME]` calls it; all are searched if it is left out.
    pub name: Option<String>,
    /// The conflict's id, as `list` shows it.
    pub id: String,
}

/// Which entries of a queue are meant.
#[derive(Debug, Args)]
pub struct Selection {
    /// Ids, as `list` shows them: ten hexadecimal digits that stay the same for as long as the same is undecided about
    /// the same record. Without --sync all syncs are searched.
    #[arg(
        value_name = "ID",
        required_unless_present = "all",
        conflicts_with = "all"
    )]
    pub ids: Vec<String>,
    /// All of them.
    #[arg(long)]
    pub all: bool,
    /// Only of this sync.
    #[arg(long, value_name = "NAME")]
    pub sync: Option<String>,
}

/// Arguments of `conflicts resolve`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("answer").required(true).args(["take", "link", "leave"]))]
pub struct ResolveArgs {
    /// Which conflicts.
    #[command(flatten)]
    pub selection: Selection,
    /// What this side has holds.
    #[arg(long, value_enum, value_name = "SIDE")]
    pub take: Option<SideArg>,
    /// The record belongs to this one of the other side.
    #[arg(long, value_name = "RECORD", conflicts_with = "all")]
    pub link: Option<String>,
    /// The records stay as they are, until one of them changes.
    #[arg(long)]
    pub leave: bool,
}

/// Commands about what the valves hold.
#[derive(Debug, Subcommand)]
pub enum HoldsCommand {
    /// List what is held, grouped by what it is about, with counts
    #[command(after_help = "Examples:\n  samspel holds list\n  samspel holds list contacts --json")]
    List(ListArgs),
    /// Let it be done; the next run does it
    #[command(
        after_help = "Examples:\n  samspel holds approve 3f9a0c1d2e 77aa01b2c3\n  \
                      samspel holds approve --all --about hold:delete --sync contacts"
    )]
    Approve(HoldArgs),
    /// Leave the records as they are; it is not asked about again until they change
    #[command(
        after_help = "A removal that is rejected ends the link: the record stays, and nothing flows between the two.\n\n\
                      Examples:\n  samspel holds reject 3f9a0c1d2e\n  samspel holds reject --all --sync contacts"
    )]
    Reject(HoldArgs),
}

/// Arguments of `holds approve` and `holds reject`.
#[derive(Debug, Args)]
pub struct HoldArgs {
    /// Which holds.
    #[command(flatten)]
    pub selection: Selection,
    /// With --all: only what is about this, as `list` calls it (`hold:delete`).
    #[arg(long, requires = "all", value_name = "ABOUT")]
    pub about: Option<String>,
}

/// Commands about records that failed for good.
#[derive(Debug, Subcommand)]
pub enum ParkedCommand {
    /// List what is parked, and why
    #[command(
        after_help = "Examples:\n  samspel parked list\n  samspel parked list contacts --limit 100 --json"
    )]
    List(ListArgs),
    /// Try again with the next run
    #[command(
        after_help = "Examples:\n  samspel parked retry 3f9a0c1d2e\n  samspel parked retry --all --sync contacts"
    )]
    Retry(Selection),
    /// Take out of the queue; the record is looked at again when it changes
    #[command(
        after_help = "Examples:\n  samspel parked drop 3f9a0c1d2e\n  samspel parked drop --all --sync contacts"
    )]
    Drop(Selection),
}

/// Arguments of `undo`.
#[derive(Debug, Args)]
#[command(
    after_help = "Fields that still hold what the run wrote get back what they held before, and records that the run \
                  created are archived. What somebody changed since stays as it is, and so does every opt-in and \
                  opt-out. What was set back does not flow again by itself: the two sides differ from then on.\n\n\
                  `left` counts what could not be taken back; the exit code is 0 all the same.\n\n\
                  Examples:\n  samspel sync status contacts        lists the runs\n  \
                  samspel undo 0199c1f2a4b07d3e8f5a6b7c8d9e0f10\n  samspel undo 0199c1f2a4b07d3e8f5a6b7c8d9e0f10 --yes --json"
)]
pub struct UndoArgs {
    /// The run, as `sync status` shows it.
    #[arg(value_name = "RUN")]
    pub run: String,
    /// The sync; all are searched if it is left out.
    #[arg(long, value_name = "NAME")]
    pub sync: Option<String>,
    /// Do not ask.
    #[arg(long, short)]
    pub yes: bool,
}

/// Arguments of `history`.
#[derive(Debug, Args)]
#[command(
    after_help = "Tells for each mapped field: the value, since when it is there, which account it comes from and who \
                  decided; then what happened to the record, newest first. No remote is asked.\n\n\
                  Examples:\n  samspel history ann@example.com\n  samspel history 8812 --side a --sync contacts\n  \
                  samspel history ann@example.com --field phone --json"
)]
pub struct HistoryArgs {
    /// The record's id on either side, or its value in the match field.
    #[arg(value_name = "RECORD")]
    pub record: String,
    /// Only in this sync.
    #[arg(long, value_name = "NAME")]
    pub sync: Option<String>,
    /// Only a record of this side.
    #[arg(long, value_enum, value_name = "SIDE")]
    pub side: Option<SideArg>,
    /// Only this field, by its name on either side.
    #[arg(long, value_name = "FIELD")]
    pub field: Option<String>,
    /// Show at most so many events.
    #[arg(long, default_value_t = 20, value_name = "N")]
    pub limit: u32,
}

/// Arguments of `erase`.
#[derive(Debug, Args)]
#[command(
    after_help = "Forgets every record that links make the same person, in all syncs: what was read, keys, links, \
                  queues, open writes, and the values in the history. What stays is a keyed hash of the address: if it \
                  comes back, it comes back opted out. The key is the one that `host.key` names; back it up.\n\n\
                  Erase the person at the remotes first. What is still there is read again.\n\n\
                  Examples:\n  samspel erase ann@example.com --sync contacts\n  \
                  samspel erase 8812 --side a --sync contacts --yes --json"
)]
pub struct EraseArgs {
    /// The record's id on either side, or its value in the match field.
    #[arg(value_name = "RECORD")]
    pub record: String,
    /// The sync in which the record is looked up.
    #[arg(long, value_name = "NAME")]
    pub sync: String,
    /// Only a record of this side.
    #[arg(long, value_enum, value_name = "SIDE")]
    pub side: Option<SideArg>,
    /// Do not ask.
    #[arg(long, short)]
    pub yes: bool,
}
