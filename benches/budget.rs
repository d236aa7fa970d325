//! A hold and its settlement, on one account and on three at once.

use std::{hint::black_box, sync::Arc};

use criterion::{Criterion, criterion_group, criterion_main};
use rungs::{
    catalog::Money,
    store::{Budget, Budgets, Reservation, memory::MemoryBudgets},
};

const NAMES: [&str; 3] = ["key:k_0123456789", "tenant:acme", "global:all"];

fn budget(c: &mut Criterion) {
    let limits: Vec<Budget> = ["1000000/day", "20000000/month"]
        .map(|limit| limit.parse().expect("a budget"))
        .into();
    let book = MemoryBudgets::new();
    // Accounts of others, which a look-up has to tell apart.
    for i in 0..1000 {
        book.set(format!("key:k_{i}"), limits.clone());
    }
    for name in NAMES {
        book.set(name, limits.clone());
    }
    let book: Arc<dyn Budgets> = Arc::new(book);
    let worst_case = Money::from_nanos(2_500_000);
    let spent = Money::from_nanos(3);
    let mut group = c.benchmark_group("budget");

    for count in [1, 3] {
        let accounts: Arc<[Arc<str>]> = NAMES[..count].iter().map(|&name| name.into()).collect();
        let hold = || Reservation::hold(book.clone(), accounts.clone(), black_box(worst_case));
        group.bench_function(format!("hold_settle/{count}"), |b| {
            b.iter(|| hold().map(|held| held.settle(spent)));
        });
    }
    group.finish();
}

criterion_group!(benches, budget);
criterion_main!(benches);
