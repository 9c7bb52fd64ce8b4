//! Progress on standard error: bars on a terminal, lines elsewhere, nothing when quiet.

use std::{
    io::Write as _,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::{Abilities, Verbosity};
use crate::progress::{Cancelled, Phase, Progress, Unit};

/// A phase that is over sooner is not worth a bar or a line.
const WORTH_TELLING: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_millis(100);

/// Progress on standard error.
#[derive(Debug)]
pub struct Bars {
    verbosity: Verbosity,
    cancelled: Arc<AtomicBool>,
    /// None when nobody looks.
    board: Option<Arc<Board>>,
}

/// The bars that are on the terminal.
#[derive(Debug, Default)]
struct Board {
    bars: MultiProgress,
    /// Running phases. The ticker shows those that last.
    running: Mutex<Vec<Weak<Count>>>,
}

/// How far a phase is.
#[derive(Debug)]
struct Count {
    name: String,
    unit: Unit,
    began: Instant,
    done: AtomicU64,
    /// 0 when unknown.
    total: AtomicU64,
    bar: Mutex<Option<ProgressBar>>,
}

impl Bars {
    /// Progress that tells as much as `verbosity` says. `cancelled` is what [`Progress::checkpoint`] looks at.
    #[must_use]
    pub fn new(verbosity: Verbosity, abilities: Abilities, cancelled: Arc<AtomicBool>) -> Self {
        let moving = abilities.terminal && verbosity != Verbosity::Quiet;
        let board = moving.then(|| {
            let board = Arc::new(Board::default());
            let watched = Arc::downgrade(&board);
            thread::spawn(move || tick(&watched));
            board
        });
        Self {
            verbosity,
            cancelled,
            board,
        }
    }
}

/// Shows and moves bars until the board is gone.
fn tick(board: &Weak<Board>) {
    loop {
        thread::sleep(TICK);
        let Some(board) = board.upgrade() else { return };
        let mut running = board.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.retain(|count| count.strong_count() > 0);
        for count in running.iter().filter_map(Weak::upgrade) {
            if count.began.elapsed() >= WORTH_TELLING {
                count.show(&board.bars);
            }
        }
    }
}

impl Count {
    fn show(&self, bars: &MultiProgress) {
        let mut bar = self.bar.lock().unwrap_or_else(PoisonError::into_inner);
        let total = self.total.load(Ordering::Relaxed);
        let bar = bar.get_or_insert_with(|| {
            let bar = bars.add(ProgressBar::no_length().with_elapsed(self.began.elapsed()));
            bar.set_message(self.name.clone());
            bar
        });
        if bar.length() != Some(total) && total > 0 {
            bar.set_length(total);
        }
        bar.set_style(style(self.unit, total > 0));
        let done = self.done.load(Ordering::Relaxed);
        bar.set_position(done);
        bar.set_prefix(pace(self.unit, done, total, self.began.elapsed()));
        bar.tick();
    }

    /// One line about the phase, when it is over.
    fn summary(&self) -> String {
        let done = self.done.load(Ordering::Relaxed);
        let amount = match self.unit {
            _ if done == 0 => String::new(),
            Unit::Bytes => format!(" {},", indicatif::BinaryBytes(done)),
            Unit::Items => format!(" {done},"),
        };
        format!(
            "{}:{amount} {:.1} s",
            self.name,
            self.began.elapsed().as_secs_f64()
        )
    }
}

/// Speed and time to go, from the phase's average: the bar itself only knows the time since it was drawn.
fn pace(unit: Unit, done: u64, total: u64, elapsed: Duration) -> String {
    if done == 0 {
        return String::new();
    }
    let share = total.saturating_sub(done) as f64 / done as f64;
    let left = (elapsed.as_secs_f64() * share).ceil();
    match unit {
        Unit::Items => format!("{left} s left"),
        Unit::Bytes => {
            let speed = u128::from(done) * 1000 / elapsed.as_millis().max(1);
            let speed = indicatif::BinaryBytes(u64::try_from(speed).unwrap_or(u64::MAX));
            format!("{speed}/s, {left} s left")
        }
    }
}

fn style(unit: Unit, total: bool) -> ProgressStyle {
    let template = match (unit, total) {
        (Unit::Bytes, true) => "{msg:32} [{bar:32}] {binary_bytes}/{binary_total_bytes} {prefix}",
        (Unit::Items, true) => "{msg:32} [{bar:32}] {pos}/{len} {prefix}",
        (Unit::Bytes, false) => "{msg:32} {spinner} {binary_bytes} {elapsed}",
        (Unit::Items, false) => "{msg:32} {spinner} {pos} {elapsed}",
    };
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
        .tick_chars("-\\|/ ")
}

impl Progress for Bars {
    fn phase(&self, name: &str, total: Option<u64>, unit: Unit) -> Box<dyn Phase> {
        let count = Arc::new(Count {
            name: name.to_owned(),
            unit,
            began: Instant::now(),
            done: AtomicU64::new(0),
            total: AtomicU64::new(total.unwrap_or(0)),
            bar: Mutex::new(None),
        });
        if let Some(board) = &self.board {
            let mut running = board.running.lock().unwrap_or_else(PoisonError::into_inner);
            running.push(Arc::downgrade(&count));
        }
        Box::new(Running {
            count,
            verbosity: self.verbosity,
            cancelled: Arc::clone(&self.cancelled),
            board: self.board.clone(),
        })
    }

    fn note(&self, line: &str) {
        if self.verbosity != Verbosity::Quiet {
            tell(self.board.as_deref(), line);
        }
    }

    fn checkpoint(&self) -> Result<(), Cancelled> {
        check(&self.cancelled)
    }
}

/// A closed standard error is no reason to end the work: failures to write are ignored.
fn tell(board: Option<&Board>, line: &str) {
    let write = || writeln!(std::io::stderr(), "{line}");
    let _told = match board {
        Some(board) => board.bars.suspend(write),
        None => write(),
    };
}

fn check(cancelled: &AtomicBool) -> Result<(), Cancelled> {
    if cancelled.load(Ordering::Relaxed) {
        Err(Cancelled)
    } else {
        Ok(())
    }
}

/// A phase that reports to [`Bars`].
struct Running {
    count: Arc<Count>,
    verbosity: Verbosity,
    cancelled: Arc<AtomicBool>,
    board: Option<Arc<Board>>,
}

impl Phase for Running {
    fn advance(&self, amount: u64) {
        self.count.done.fetch_add(amount, Ordering::Relaxed);
    }

    fn set_total(&self, total: u64) {
        self.count.total.store(total, Ordering::Relaxed);
    }

    fn checkpoint(&self) -> Result<(), Cancelled> {
        check(&self.cancelled)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let bar = self
            .count
            .bar
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let (Some(bar), Some(board)) = (&bar, &self.board) {
            bar.finish_and_clear();
            board.bars.remove(bar);
        }
        let tells = match self.verbosity {
            Verbosity::Quiet => false,
            Verbosity::Normal => self.count.began.elapsed() >= WORTH_TELLING,
            Verbosity::Verbose => true,
        };
        if tells {
            tell(self.board.as_deref(), &self.count.summary());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ctrl_c_reaches_every_phase_and_ends_its_next_piece_of_io() {
        let flag = Arc::new(AtomicBool::new(false));
        let abilities = Abilities {
            terminal: false,
            color: false,
            unicode: true,
        };
        let bars = Bars::new(Verbosity::Quiet, abilities, Arc::clone(&flag));
        let phase = bars.phase("copy", None, Unit::Bytes);
        assert_eq!((bars.checkpoint(), phase.checkpoint()), (Ok(()), Ok(())));
        flag.store(true, Ordering::Relaxed);
        assert_eq!(
            (bars.checkpoint(), phase.checkpoint()),
            (Err(Cancelled), Err(Cancelled))
        );
        let io: std::io::Error = Cancelled.into();
        assert_ne!(
            io.kind(),
            std::io::ErrorKind::Interrupted,
            "loops over reads would try again"
        );
    }

    #[test]
    fn the_pace_is_the_phases_average() {
        let elapsed = Duration::from_secs(4);
        assert_eq!(
            pace(Unit::Bytes, 8 << 20, 10 << 20, elapsed),
            "2.00 MiB/s, 1 s left"
        );
        assert_eq!(pace(Unit::Items, 1, 3, elapsed), "8 s left");
        assert_eq!(pace(Unit::Items, 0, 3, elapsed), "");
    }

    #[test]
    fn a_summary_has_the_amount_in_the_phases_unit() {
        let count = |unit, done| Count {
            name: "fetch".to_owned(),
            unit,
            began: Instant::now(),
            done: AtomicU64::new(done),
            total: AtomicU64::new(0),
            bar: Mutex::new(None),
        };
        assert_eq!(count(Unit::Bytes, 3 << 20).summary(), "fetch: 3.00 MiB, 0.0 s");
        assert_eq!(count(Unit::Items, 152).summary(), "fetch: 152, 0.0 s");
        assert_eq!(count(Unit::Items, 0).summary(), "fetch: 0.0 s");
    }
}
