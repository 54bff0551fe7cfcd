//! One side of a run: what is read ahead of it, what waits to be written to it, and how large its calls may be.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use samspel_model::Side;

use super::Reading;
use crate::context::Context;
use crate::error::SyncError;
use crate::outbox::{Kind, Outbox};
use crate::reader::{ReadPage, Reader};

/// How many writes the first call holds; it grows while calls are quick.
const FIRST_BATCH: usize = 100;
/// A write call is to stay well below the sandbox's wall time.
const QUICK: Duration = Duration::from_secs(3);
const SLOW: Duration = Duration::from_secs(10);

/// One side of a run.
pub struct Lane {
    /// Where reading stands; `None` while a page is being read, or missing records are asked for.
    pub reader: Option<Reader>,
    /// Pages that are read and wait to be stored: where they were read, and the position behind them.
    pub pages: VecDeque<(Reader, ReadPage, Reader)>,
    pub storing: bool,
    pub done: bool,
    /// Writes that wait to be sent.
    pub outbox: Outbox,
    pub writers: Vec<Kind>,
    /// Writes that are being sent.
    pub sending: usize,
    /// Writes that wait for a remote that asked for patience.
    pub resting: usize,
    pub batch: usize,
    /// A call that held more was stopped.
    pub most: usize,
    /// Calls in a row that were stopped with a single write.
    pub stopped: u32,
    /// How often each write was put off.
    pub put_off: HashMap<String, usize>,
}

impl Lane {
    pub async fn open(context: &Context, side: Side, reading: Reading) -> Result<Self, SyncError> {
        let reader = match reading {
            Reading::Changes => Reader::open(context, side, false).await?,
            Reading::Everything => Reader::open(context, side, true).await?,
            Reading::Hints | Reading::Nothing => Reader::idle(context, side),
        };
        Ok(Self {
            done: reader.is_done(),
            reader: Some(reader),
            pages: VecDeque::new(),
            storing: false,
            outbox: Outbox::default(),
            writers: Vec::new(),
            sending: 0,
            resting: 0,
            batch: FIRST_BATCH,
            most: context.collection(side).capabilities.max_write.max(1) as usize,
            stopped: 0,
            put_off: HashMap::new(),
        })
    }

    /// A call is over.
    pub fn sent(&mut self, kind: Kind, size: usize) {
        if let Some(index) = self.writers.iter().position(|of| *of == kind) {
            self.writers.swap_remove(index);
        }
        self.sending -= size;
    }

    /// How large calls may be, after one of this size.
    pub fn learn(&mut self, size: usize, took: Duration, stopped: bool) {
        if stopped {
            self.stopped = if size == 1 { self.stopped + 1 } else { 0 };
            self.most = self.most.min((size / 2).max(1));
        } else {
            self.stopped = 0;
        }
        if stopped || took > SLOW {
            self.batch = (self.batch / 2).max(1);
        } else if took < QUICK && size >= self.batch {
            self.batch *= 2;
        }
        self.batch = self.batch.min(self.most);
    }
}
