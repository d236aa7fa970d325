use std::{
    fs::{self, File},
    io::Write,
    path::Path,
    sync::{Arc, Mutex},
};

use rungs::{
    Error, ErrorKind,
    catalog::Money,
    store::{Balance, Budgets, Hold, StoreFuture},
};

const REFUSED: &str = "refused";
const SPENT: &str = "spent ";

/// A book, and a file in which stands what it does, in this order: what it holds more or less, or that it refuses.
pub(crate) struct Watched {
    book: Arc<dyn Budgets>,
    log: Mutex<File>,
}

impl Watched {
    pub(crate) fn new(book: Arc<dyn Budgets>, log: &Path) -> Self {
        Self {
            book,
            log: Mutex::new(open(log)),
        }
    }

    fn note(&self, done: &Result<Hold, Error>) {
        let mut log = self.log.lock().expect("no panic");
        match done {
            Ok(hold) => write(&mut log, &hold.amount.nanos().to_string()),
            Err(error) if error.kind() == ErrorKind::Budget => write(&mut log, REFUSED),
            Err(_) => {}
        }
    }
}

impl Budgets for Watched {
    fn hold(&self, accounts: &[Arc<str>], amount: Money) -> Result<Hold, Error> {
        let mut log = self.log.lock().expect("no panic");
        let held = self.book.hold(accounts, amount)?;
        write(&mut log, &amount.nanos().to_string());
        Ok(held)
    }

    fn wait<'a>(
        &'a self,
        accounts: &'a [Arc<str>],
        amount: Money,
    ) -> Option<StoreFuture<'a, Hold>> {
        let Some(waiting) = self.book.wait(accounts, amount) else {
            self.note(&Err(Error::new(ErrorKind::Budget, REFUSED)));
            return None;
        };
        Some(Box::pin(async move {
            let held = waiting.await;
            self.note(&held);
            held
        }))
    }

    fn settle(&self, accounts: &[Arc<str>], hold: Hold, spent: Money) {
        let mut log = self.log.lock().expect("no panic");
        write(&mut log, &(spent - hold.amount).nanos().to_string());
        self.book.settle(accounts, hold, spent);
    }

    fn balance(&self, account: &str) -> Option<Balance> {
        self.book.balance(account)
    }
}

fn open(log: &Path) -> File {
    let log = File::options().append(true).create(true).open(log);
    log.expect("a file")
}

/// With one write: others write to the same file.
fn write(log: &mut File, line: &str) {
    let line = format!("{line}\n");
    log.write_all(line.as_bytes()).expect("it is written");
}

/// Notes that so much is spent for certain, and nothing held.
pub(crate) fn begins_with(log: &Path, spent: Money) {
    write(&mut open(log), &format!("{SPENT}{}", spent.nanos()));
}

/// What was spent and held when the first call was refused, in nano-dollars.
pub(crate) fn used_when_refused(log: &Path) -> Option<i64> {
    let text = fs::read_to_string(log).unwrap_or_default();
    let mut used = 0;
    for line in text.lines() {
        match line.strip_prefix(SPENT) {
            _ if line == REFUSED => return Some(used),
            Some(spent) => used = spent.parse().expect("a sum"),
            None => used += line.parse::<i64>().expect("a sum"),
        }
    }
    None
}
