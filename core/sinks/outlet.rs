//! Where a worker's chain ends: the gate once more, the engine's own columns, and the queues of the
//! sinks.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use crossbeam_channel::{Sender, TrySendError};
use ringmill_sdk::{Counter, Error, schema};

use super::Stamp;
use crate::{chain::Outlet, plan};

/// What one worker has handed to one sink; anyone may read it while it runs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Share {
    /// Rows that were meant for it.
    pub(crate) rows: Counter,
    /// Rows of these that found its queue full and were dropped.
    pub(crate) queue_full: Counter,
}

/// A worker's end of one sink's queue.
#[derive(Clone)]
pub(super) struct Gate {
    pub(super) queue: Sender<RecordBatch>,
    /// The worker waits for room.
    pub(super) waits: bool,
    pub(super) share: Share,
}

/// Where a worker's chain ends.
pub struct SinkOutlet {
    pub(super) gates: Vec<Gate>,
    /// Rows that went out of this worker's chains.
    pub(super) left: Counter,
    pub(super) may_identify: bool,
    pub(super) stamp: Stamp,
    /// Schemas that were looked at already, and as the sinks see them.
    pub(super) passed: Vec<(SchemaRef, SchemaRef)>,
}

impl SinkOutlet {
    /// The schema with our own columns, after the gate once more, for what a stage emits without
    /// having announced it.
    fn check(&mut self, schema: &SchemaRef) -> Result<SchemaRef, Error> {
        if let Some((_, stamped)) = self.passed.iter().find(|(of, _)| Arc::ptr_eq(of, schema)) {
            return Ok(Arc::clone(stamped));
        }
        if let Some((column, _)) = plan::identifiable(schema).filter(|_| !self.may_identify) {
            return Err(Error::new(format!(
                "column `{column}` of `{}` left the chain as it was on the wire, although no \
                 stage had announced it; the rows were thrown away",
                schema::record_name(schema)
            )));
        }
        let stamped = self.stamp.schema(schema).map_err(|column| {
            Error::new(format!(
                "column `{column}` of `{}`, which no stage had announced, is called like one \
                 of the engine's own; the rows were thrown away",
                schema::record_name(schema)
            ))
        })?;
        if self.passed.len() == 64 {
            self.passed.clear();
        }
        self.passed.push((Arc::clone(schema), Arc::clone(&stamped)));
        Ok(stamped)
    }
}

impl Outlet for SinkOutlet {
    fn take(&mut self, records: RecordBatch) -> Result<(), Error> {
        let rows = records.num_rows() as u64;
        if rows == 0 {
            return Ok(());
        }
        let schema = self.check(records.schema_ref())?;
        let records = self.stamp.put(records, schema)?;
        self.left.add(rows);
        for Gate { queue, waits, share } in &self.gates {
            share.rows.add(rows);
            let records = records.clone();
            let sent = match waits {
                true => queue.send(records).map_err(|_| ()),
                false => match queue.try_send(records) {
                    Err(TrySendError::Full(_)) => {
                        share.queue_full.add(rows);
                        Ok(())
                    }
                    Err(TrySendError::Disconnected(_)) => Err(()),
                    Ok(()) => Ok(()),
                },
            };
            // A sink's thread drains its queue until every outlet is gone, even after the sink
            // has failed, so the queue cannot be closed while we hold our end.
            if sent.is_err() {
                return Err(Error::new("a sink's thread is gone; this is a bug in the engine"));
            }
        }
        Ok(())
    }
}
