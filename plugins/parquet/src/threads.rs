//! The same work on several columns at once.

use std::{
    sync::{Mutex, PoisonError},
    thread,
};

/// Does the jobs on so many threads, this one among them; their results, or the first error.
///
/// The threads live as long as the call: it is made for tens of thousands of rows at a time, so
/// their start is lost in the work, and nothing of it goes on when this returns.
pub(crate) fn each<J: Send, R: Send, E: Send>(
    threads: usize,
    jobs: Vec<J>,
    work: impl Fn(J) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E> {
    if threads <= 1 {
        return jobs.into_iter().map(work).collect();
    }
    let mut results: Vec<Option<Result<R, E>>> = jobs.iter().map(|_| None).collect();
    let todo = Mutex::new(jobs.into_iter().zip(&mut results));
    let next = || todo.lock().unwrap_or_else(PoisonError::into_inner).next();
    let run = || {
        while let Some((job, result)) = next() {
            *result = Some(work(job));
        }
    };
    thread::scope(|scope| {
        for _ in 1..threads {
            // Without another thread this one does the work.
            let _ = thread::Builder::new().spawn_scoped(scope, run);
        }
        run();
    });
    results.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_jobs_and_the_first_error_wins() {
        for threads in [0, 1, 2, 5, 50] {
            let doubled = each(threads, (0..20).collect(), |n: i32| Ok::<_, ()>(n * 2));
            assert_eq!(doubled, Ok((0..20).map(|n| n * 2).collect()), "{threads}");
            let failed =
                each(threads, (0..20).collect(), |n| if n % 7 == 6 { Err(n) } else { Ok(n) });
            assert_eq!(failed, Err(6), "{threads}");
        }
    }
}
