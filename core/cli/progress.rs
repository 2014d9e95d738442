//! The progress bar, drawn by a thread of its own from counters that the workers keep anyway.

use std::{
    io::{self, IsTerminal as _, Write},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};
use ringmill::{Gauge, capture::file::Read, service};

const INTERVAL: Duration = Duration::from_millis(100);
/// How often the line of a live capture is written anew.
const SECOND: Duration = Duration::from_secs(1);

/// The bar that is on the screen, so that a log line can be put above it.
static SHOWN: OnceLock<ProgressBar> = OnceLock::new();

/// A bar on the screen, until dropped.
pub(super) struct Progress {
    done: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Progress {
    /// Draws the run's progress, where standard error is a terminal.
    pub(super) fn start(gauge: Gauge) -> Option<Self> {
        if !io::stderr().is_terminal() {
            return None;
        }
        let done = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&done);
        let thread = thread::Builder::new().name("progress".into());
        // Without a thread for it there is no bar; the run goes on.
        let thread = thread
            .spawn(move || {
                service::renounce();
                draw(&gauge, &until);
            })
            .ok()?;
        Some(Self { done, thread: Some(thread) })
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.done.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

fn draw(gauge: &Gauge, done: &AtomicBool) {
    let bar = SHOWN.get_or_init(|| match gauge.read() {
        Some(Read { total: Some(total), .. }) => ProgressBar::new(total).with_style(style(
            "{wide_bar} {percent:>3} % of {total_bytes}, {msg}, {binary_bytes_per_sec}, {eta} left",
        )),
        Some(_) => {
            ProgressBar::new_spinner().with_style(style("{spinner} {bytes}, {msg}, {elapsed}"))
        }
        None => ProgressBar::new_spinner().with_style(style("{spinner} {elapsed}, {wide_msg}")),
    });
    let mut before = gauge.counted();
    let mut lost = String::new();
    while !done.load(Relaxed) {
        let second = before.at.elapsed() >= SECOND;
        match gauge.read() {
            Some(read) => {
                if second {
                    before = gauge.counted();
                    lost = lost_rows(before.lost_rows);
                }
                bar.set_position(read.bytes);
                bar.set_message(format!("{} packets{lost}", gauge.packets()));
            }
            // What is live has no end, but a present.
            None if second => {
                let now = gauge.counted();
                bar.set_message(now.line(&before));
                before = now;
            }
            None => {}
        }
        bar.tick();
        thread::park_timeout(INTERVAL);
    }
    bar.finish_and_clear();
}

/// Capture files wait, so nothing is lost but what sinks drop.
fn lost_rows(rows: u64) -> String {
    match rows {
        0 => String::new(),
        rows => format!(", {rows} rows dropped"),
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// Standard error, above the bar where there is one.
pub(super) fn above() -> impl Write {
    Above
}

struct Above;

impl Write for Above {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match SHOWN.get() {
            Some(bar) => bar.suspend(|| io::stderr().write(bytes)),
            None => io::stderr().write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
