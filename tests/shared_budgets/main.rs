//! Budgets against what a provider really bills: of one process on an SQLite file, and of processes that share a PostgreSQL.
//!
//! Each process is this very test program, started again with its part in the environment. `cargo xtask budget --runs N` makes the
//! random runs more.
#![cfg(all(
    feature = "testing",
    feature = "postgres",
    feature = "redis",
    feature = "sqlite",
    feature = "journal"
))]

mod books;
mod check;
mod part;
mod process;
mod stores;
mod upstream;
mod watched;
mod world;

use std::time::Duration;

use part::{Book, Calls, Part};
use world::{Fault, Run, World};

/// How many random runs, unless the environment says more.
const RUNS: u64 = 20;

fn runs() -> u64 {
    let runs = std::env::var("RUNGS_BUDGET_RUNS").ok();
    runs.and_then(|runs| runs.parse().ok()).unwrap_or(RUNS)
}

/// Not a test: what a process does.
#[test]
#[ignore = "the part of one process, started by the tests"]
fn process() {
    if let Some(part) = Part::of_environment() {
        process::run(&part);
    }
}

fn as_many_as_there_is_room_for(world: &World, processes: &[usize]) {
    const ROOM: usize = 7;
    for &processes in processes {
        let limit = ROOM as i64 * upstream::dearest() + upstream::dearest() * 3 / 4;
        let mut run = world.run(Calls::AtOnce, Book::Right, limit, 1);
        let ends = run.play(processes, 200 / processes, &[]);
        let served: u64 = ends.iter().map(|end| end.served).sum();
        assert_eq!(served, ROOM as u64, "{processes} processes: {ends:?}");
        assert_eq!(run.bills().len(), ROOM, "{processes} processes");
        run.check().expect("nothing is wrong");
    }
}

#[test]
fn r1_on_postgres_exactly_as_many_as_there_is_room_for_reach_the_provider() {
    as_many_as_there_is_room_for(&World::postgres(), &[1, 2, 4]);
}

#[test]
fn r1_on_sqlite_exactly_as_many_as_there_is_room_for_reach_the_provider() {
    as_many_as_there_is_room_for(&World::sqlite(), &[1]);
}

/// What goes wrong in the run of a seed. Three numbers of processes, four series of faults and five kinds of Redis have no common
/// factor: in 20 runs each of them meets each of another kind, in 60 all meet.
fn prepare<'a>(world: &'a World, processes: &[usize], seed: u64) -> (Run<'a>, usize, Vec<Fault>) {
    let of = |kinds: usize| usize::try_from(seed % kinds as u64).expect("small");
    let mut faults = match of(4) {
        0 => vec![],
        1 => vec![Fault::Kill],
        2 => vec![Fault::StopDatabase],
        _ => vec![Fault::Kill, Fault::StopDatabase, Fault::Kill],
    };
    let limit = 240 * upstream::dearest();
    let run = world.run(Calls::Random, Book::Right, limit, seed);
    let run = match of(5) {
        0 => run,
        1 => run.with_absent_redis(),
        2 => run.with_redis(),
        3 => {
            faults.insert(0, Fault::FreezeRedis(Duration::from_millis(300)));
            run.with_redis()
        }
        _ => {
            faults.insert(0, Fault::FlushRedis);
            run.with_redis()
        }
    };
    (run, processes[of(processes.len())], faults)
}

fn random_schedules(world: &World, processes: &[usize]) {
    let (mut spent, mut refused) = (100.0_f64, 100.0_f64);
    let (mut killed, mut calls) = (0, 0);
    for seed in 1..=runs() {
        let (mut run, processes, faults) = prepare(world, processes, seed);
        let start = std::time::Instant::now();
        let ends = run.play(processes, 100_000, &faults);
        println!(
            "{seed} {processes} {faults:?} {ends:?} {:?} killed {} {:?} {:?}",
            start.elapsed(),
            run.killed,
            run.check(),
            run.used_when_refused(),
        );
        let used = run
            .check()
            .unwrap_or_else(|wrong| unreachable!("seed {seed}: {wrong:?}"));
        assert!(used >= 99.0, "seed {seed}: only {used} % could be spent");
        let first = run.used_when_refused().expect("somebody was refused");
        // What a process has leased nobody else spends while it is dead, or while the database is away.
        if run.killed == 0 && !faults.contains(&Fault::StopDatabase) || run.is_alone() {
            assert!(
                first >= 99.0,
                "seed {seed}: the first was refused with {first} % in use"
            );
            refused = refused.min(first);
        }
        spent = spent.min(used);
        killed += run.killed;
        calls += run.bills().len();
    }
    println!(
        "{} runs, {calls} calls, {killed} killed: overspent 0, reserved 0 at rest, at least {spent:.2} % spent, {refused:.2} % in use \
         when the first was refused",
        runs()
    );
    assert!(killed > 0, "nobody was killed at work");
}

#[test]
fn r1_on_postgres_random_schedules_never_overspend_and_leave_nothing_reserved() {
    random_schedules(&World::postgres(), &[1, 2, 4]);
}

#[test]
fn r1_on_sqlite_random_schedules_never_overspend_and_leave_nothing_reserved() {
    random_schedules(&World::sqlite(), &[1]);
}

/// The checker finds every design that is wrong, or it would be worth nothing.
fn is_found(world: &World, processes: usize, book: Book, fault: &[Fault]) {
    let mut found = Vec::new();
    // How soon it shows depends on who is faster.
    for seed in 1..=100 {
        let limit = 240 * upstream::dearest();
        let mut run = world.run(Calls::Random, book, limit, seed).with_redis();
        run.play(processes, 100_000, fault);
        match run.check() {
            Err(wrong) if wrong.iter().any(|w| w.starts_with("overspent")) => return,
            Err(wrong) => found.extend(wrong),
            Ok(_) => {}
        }
    }
    unreachable!("{book:?} was never seen to overspend: {found:?}");
}

fn is_found_everywhere(book: Book, fault: &[Fault]) {
    is_found(&World::postgres(), 3, book, fault);
    is_found(&World::sqlite(), 1, book, fault);
}

#[test]
fn control_checking_first_and_adding_afterwards_is_found() {
    is_found_everywhere(Book::CheckThenAdd, &[]);
}

#[test]
fn control_releasing_what_was_cut_is_found() {
    is_found_everywhere(Book::ReleaseOnCut, &[]);
}

#[test]
fn control_counting_in_redis_is_found() {
    is_found_everywhere(Book::RedisCounter, &[Fault::FlushRedis]);
}

#[test]
fn control_freeing_leases_by_time_is_found() {
    let fault = Fault::FreezeAndFree(Duration::from_millis(300));
    is_found(&World::postgres(), 3, Book::Right, &[fault]);
}
