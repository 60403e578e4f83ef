//! The images of all apps for all boards, of several CPUs at the same time: the linker, which optimises, keeps one core
//! busy for most of an image's build.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result};

use super::count::Count;
use crate::cargo::Compilers;
use crate::commands::build;
use crate::registry::{App, Board, Workspace};

/// An image to build.
struct Job {
    app: App,
    board: Board,
    folder: PathBuf,
    defmt: bool,
}

/// What is left to do.
struct Plan {
    /// The images of a list have the same build folder, in which cargo runs once at a time. The longest comes last.
    lists: Mutex<Vec<Vec<Job>>>,
    failed: AtomicBool,
}

/// Builds the images into `folder`. After a failure none is begun.
pub(super) fn build(workspace: &Workspace, compilers: &Compilers, folder: &Path) -> Result<Count> {
    let lists = lists(jobs(workspace, folder)?, compilers);
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let threads = threads.min(lists.len());
    let plan = Plan {
        lists: Mutex::new(lists),
        failed: AtomicBool::new(false),
    };
    thread::scope(|scope| {
        let work = || plan.work(&compilers.clone().in_company());
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let mut count = Count::default();
        for worker in workers {
            count += worker
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        }
        Ok(count)
    })
}

/// Every app for every board that tests start it on, and the smallest once more, so that it logs by defmt, for the
/// boards that QEMU starts itself.
fn jobs(workspace: &Workspace, folder: &Path) -> Result<Vec<Job>> {
    let apps = workspace.apps_and_guests()?;
    let hello = workspace.app("hello")?;
    let mut jobs = Vec::new();
    for board in workspace.boards()? {
        let job = |app: &App, folder: &Path, defmt| Job {
            app: app.clone(),
            board: board.clone(),
            folder: folder.join(&board.name),
            defmt,
        };
        let tested = apps.iter().filter(|app| app.is_tested_on(&board));
        jobs.extend(tested.map(|app| job(app, folder, false)));
        if board.target.is_some() && board.loader.is_none() {
            jobs.push(job(&hello, &folder.join("defmt"), true));
        }
    }
    Ok(jobs)
}

/// Puts the jobs of each build folder into a list, and the lists in the order of their lengths.
fn lists(jobs: Vec<Job>, compilers: &Compilers) -> Vec<Vec<Job>> {
    let mut lists: Vec<(PathBuf, Vec<Job>)> = Vec::new();
    for job in jobs {
        let folder = compilers.build_folder(&job.board);
        match lists.iter_mut().find(|(of, _)| *of == folder) {
            Some((_, list)) => list.push(job),
            None => lists.push((folder, vec![job])),
        }
    }
    let mut lists: Vec<_> = lists.into_iter().map(|(_, list)| list).collect();
    lists.sort_by_key(Vec::len);
    lists
}

impl Plan {
    /// Builds one list after the other.
    fn work(&self, compilers: &Compilers) -> Result<Count> {
        let mut count = Count::default();
        while let Some(list) = self.next() {
            for job in list {
                if self.failed.load(Ordering::Relaxed) {
                    return Ok(count);
                }
                job.build(compilers)
                    .inspect_err(|_| self.failed.store(true, Ordering::Relaxed))?;
                count += Count::ONE;
            }
        }
        Ok(count)
    }

    fn next(&self) -> Option<Vec<Job>> {
        let mut lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        lists.pop()
    }
}

impl Job {
    fn build(&self, compilers: &Compilers) -> Result<()> {
        let Self {
            app, board, folder, ..
        } = self;
        let mut compilers = compilers.clone().with_defmt(self.defmt);
        let image = build::build(&mut compilers, app, board, folder)
            .with_context(|| format!("{} for board {}", app.name, board.name))?;
        println!("{:>9} bytes  {}", image.bytes, image.path.display());
        Ok(())
    }
}
