//! Processes that share budgets through one PostgreSQL, against what their provider really bills.
//!
//! Each process is this very test program, started again with its part in the environment. `cargo xtask budget --runs N` makes the
//! random runs more.
#![cfg(all(
    feature = "testing",
    feature = "postgres",
    feature = "redis",
    feature = "journal"
))]

mod books;
mod check;
mod part;
mod process;
mod upstream;
mod world;

use std::time::Duration;

use part::{Book, Calls, Part};
use world::{Fault, World};

/// How many random runs, unless the environment says more.
const RUNS: u64 = 24;

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

#[test]
fn r1_exactly_as_many_as_there_is_room_for_reach_the_provider() {
    const ROOM: i64 = 7;
    let world = World::new();
    for processes in [1, 2, 4] {
        let mut run = world.run(
            Calls::AtOnce,
            Book::Leased,
            ROOM * upstream::worst_case() + upstream::worst_case() / 2,
            1,
        );
        let ends = run.play(processes, 200 / processes, &[]);
        let served: u64 = ends.iter().map(|end| end.served).sum();
        assert_eq!(served, ROOM as u64, "{processes} processes: {ends:?}");
        assert_eq!(run.bills().len(), ROOM as usize, "{processes} processes");
        run.check().expect("nothing is wrong");
    }
}

#[test]
fn r1_random_schedules_never_overspend_and_leave_nothing_reserved() {
    let world = World::new();
    let (mut worst, mut killed, mut calls) = (100.0_f64, 0, 0);
    for seed in 1..=runs() {
        let processes = [1, 2, 4][usize::try_from(seed % 3).expect("small")];
        let mut faults = match seed % 6 {
            0 | 1 => vec![],
            2 | 3 => vec![Fault::Kill],
            4 => vec![Fault::StopDatabase],
            _ => vec![Fault::Kill, Fault::StopDatabase, Fault::Kill],
        };
        let limit = 240 * upstream::worst_case();
        let mut run = world.run(Calls::Random, Book::Leased, limit, seed);
        // Redis is absent, present, frozen, flushed.
        match seed % 4 {
            0 => {}
            1 => run = run.with_redis(),
            2 => {
                run = run.with_redis();
                faults.insert(0, Fault::FreezeRedis(Duration::from_millis(300)));
            }
            _ => {
                run = run.with_redis();
                faults.insert(0, Fault::FlushRedis);
            }
        }
        let start = std::time::Instant::now();
        let ends = run.play(processes, 100_000, &faults);
        println!(
            "{seed} {processes} {faults:?} {ends:?} {:?} killed {} {:?}",
            start.elapsed(),
            run.killed,
            run.check()
        );
        let used = run
            .check()
            .unwrap_or_else(|wrong| unreachable!("seed {seed}: {wrong:?}"));
        worst = worst.min(used);
        killed += run.killed;
        calls += run.bills().len();
        assert!(used >= 99.0, "seed {seed}: only {used} % could be spent");
    }
    println!(
        "{} runs, {calls} calls, {killed} killed: overspent 0, reserved 0 at rest, at least {worst:.2} % spent",
        runs()
    );
    assert!(killed > 0, "nobody was killed at work");
}

/// The checker finds every design that is wrong, or it would be worth nothing.
fn is_found(book: Book, fault: &[Fault]) {
    let world = World::new();
    let mut found = Vec::new();
    // How soon it shows depends on who is faster.
    for seed in 1..=24 {
        let limit = 240 * upstream::worst_case();
        let mut run = world.run(Calls::Random, book, limit, seed).with_redis();
        run.play(3, 100_000, fault);
        match run.check() {
            Err(wrong) if wrong.iter().any(|w| w.starts_with("overspent")) => return,
            Err(wrong) => found.extend(wrong),
            Ok(_) => {}
        }
    }
    unreachable!("{book:?} was never seen to overspend: {found:?}");
}

#[test]
fn control_checking_first_and_adding_afterwards_is_found() {
    is_found(Book::CheckThenAdd, &[]);
}

#[test]
fn control_releasing_what_was_cut_is_found() {
    is_found(Book::ReleaseOnCut, &[]);
}

#[test]
fn control_counting_in_redis_is_found() {
    is_found(Book::RedisCounter, &[Fault::FlushRedis]);
}

#[test]
fn control_freeing_leases_by_time_is_found() {
    is_found(
        Book::Leased,
        &[Fault::FreezeAndFree(Duration::from_millis(300))],
    );
}
