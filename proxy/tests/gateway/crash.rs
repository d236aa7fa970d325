//! R18, the other part: a gateway that is killed, whenever and wherever, loses no row that a client was told of, writes none twice,
//! and has charged at least what the provider has.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crate::support::*;

/// As often as the suite kills; `cargo xtask crash --runs` says another number.
const CRASHES: usize = 50;

/// As often as it kills conversations.
const TALKS: usize = 25;

/// Where a gateway stops on the way of its rows, waiting to be killed, beside anywhere else; with the number of times that it passes
/// there first, which are more than its start needs.
const OF_ROWS: [(&str, u8); 9] = [
    ("journal.begin", 2),
    ("journal.before_write", 12),
    ("journal.after_write", 12),
    ("journal.sync", 12),
    ("journal.after_sync", 12),
    ("journal.before_head", 1),
    ("journal.after_turn", 1),
    ("sqlite.before_commit", 2),
    ("sqlite.after_commit", 2),
];

/// And on the way of what was said.
const OF_TURNS: [(&str, u8); 5] = [
    ("spool.before_write", 2),
    ("spool.after_write", 2),
    ("spool.sync", 2),
    ("journal.before_write", 12),
    ("journal.after_write", 12),
];

/// Where gateways stop: at each place in turn in every hundred runs, else at any of them every other time.
struct Places {
    all: &'static [(&'static str, u8)],
    /// How often they have stopped at each.
    reached: BTreeMap<&'static str, usize>,
    chosen: Option<&'static str>,
    /// Whether the chosen one must be reached.
    is_new: bool,
}

impl Places {
    fn new(all: &'static [(&'static str, u8)]) -> Self {
        Self {
            all,
            reached: BTreeMap::new(),
            chosen: None,
            is_new: false,
        }
    }

    /// Kills a gateway, after a look at where it has stopped. The next one, number `run`, stops somewhere else.
    fn kill(&mut self, gateway: Gateway, run: usize) -> Gateway {
        if let Some(place) = self.chosen.filter(|place| has_stopped(&gateway, place)) {
            *self.reached.entry(place).or_default() += 1;
        }
        let first = self.all.get(run % 100).copied();
        self.is_new = first.is_some();
        let next = first.or_else(|| match run % 2 {
            0 => None,
            _ => fastrand::choice(self.all).copied(),
        });
        self.chosen = next.map(|(place, _)| place);
        let Some((place, passed)) = next else {
            return gateway.killed(&[]);
        };
        let more = match (self.is_new, place) {
            (true, _) => 0,
            (_, "journal.before_head" | "journal.after_turn") => fastrand::u8(0..2),
            _ => fastrand::u8(0..40),
        };
        // Half of them write through the page cache: otherwise nothing is left to sync.
        let direct = match place == "journal.sync" || fastrand::bool() {
            true => "return",
            false => "off",
        };
        let passed = passed + more;
        let places = format!("{place}={passed}*off->return(stop);journal.direct={direct}");
        gateway.killed(&[("FAILPOINTS", &places)])
    }

    /// Waits until a gateway under load is to be killed. `more` puts it under load again.
    async fn wait(&self, gateway: &Gateway, mut more: impl FnMut(usize)) {
        let Some(place) = self.chosen.filter(|_| self.is_new) else {
            return tokio::time::sleep(Duration::from_millis(fastrand::u64(5..120))).await;
        };
        let start = Instant::now();
        for tries in 1.. {
            let soon = tokio::time::timeout(Duration::from_secs(1), async {
                while !has_stopped(gateway, place) {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            });
            if soon.await.is_ok() {
                return;
            }
            assert!(start.elapsed() < PATIENCE, "it never came to {place}");
            // On a busy computer clients may have left.
            more(tries);
        }
    }

    /// Each was reached, as far as there were enough runs.
    fn are_reached(&self, runs: usize) {
        let Self { all, reached, .. } = self;
        println!("stopped at {reached:?}");
        assert!(reached.len() >= all.len().min(runs - 1), "{reached:?}");
    }
}

fn has_stopped(gateway: &Gateway, place: &str) -> bool {
    gateway.log().contains(&format!("stopped at {place}\n"))
}

#[tokio::test(flavor = "multi_thread")]
async fn r18_a_crash_loses_no_row_and_writes_none_twice() {
    let crashes = std::env::var("RUNGS_CRASHES").map_or(CRASHES, |runs| runs.parse().unwrap());
    let load = Load::new().await;
    let mut gateway = Gateway::serve(&load.config());
    let mut places = Places::new(&OF_ROWS);
    let mut slowest = Duration::ZERO;
    for run in 0..crashes {
        let mut clients = load.begin(&gateway, run);
        let more = |tries| clients.extend(load.begin(&gateway, run + crashes * tries));
        places.wait(&gateway, more).await;
        let began = Instant::now();
        gateway = places.kill(gateway, run);
        slowest = slowest.max(began.elapsed());
        for client in clients {
            client.await.unwrap();
        }
    }
    // Nobody has asked this one: it counts what those before it have left.
    let after_a_kill = accounts(&gateway).await;
    // The last one ends in order, so that all its rows are in the database.
    gateway = gateway.killed(&[]).restart().await;
    let record = load.check(&gateway);
    record.is_what_budgets_say(&after_a_kill);
    record.is_what_budgets_say(&accounts(&gateway).await);
    let Record {
        rows,
        charged,
        billed,
        told,
    } = record;
    assert!(charged >= billed, "charged {charged}, billed {billed}");
    let interrupted = rows
        .iter()
        .filter(|row| row["status"] == "interrupted")
        .count();
    println!(
        "{crashes} kills, {told} answers told, {} rows, {interrupted} interrupted, charged {charged}, billed {billed}, slowest start {slowest:?}",
        rows.len(),
    );
    places.are_reached(crashes);
    assert!(told > crashes, "the load was too small to show anything");
}

/// What a client was told of, in the order in which it was told.
struct Talk {
    conversation: String,
    told: Vec<String>,
}

/// Says one thing after the other in a conversation of its own, until nobody answers.
fn talk(gateway: &Gateway, mut talk: Talk) -> tokio::task::JoinHandle<Talk> {
    let whole = talk.conversation.len().is_multiple_of(2);
    let url = format!("{}/v1/chat/completions", gateway.url);
    let http = client(Duration::from_millis(300));
    tokio::spawn(async move {
        loop {
            let said = format!("{} {}", talk.conversation, fastrand::u64(..));
            let body = match whole {
                true => chat("m", &said),
                false => chat_stream("m", &said),
            };
            let request = http
                .post(&url)
                .bearer_auth(KEY)
                .header("content-type", "application/json")
                .header("x-rungs-conversation", &talk.conversation);
            let Ok(answer) = request.body(body.to_string()).send().await else {
                return talk;
            };
            let status = answer.status();
            let Ok(text) = answer.text().await else {
                return talk;
            };
            if status == 200 && (whole || text.ends_with("data: [DONE]\n\n")) {
                talk.told.push(said);
            }
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn r18_a_crash_loses_no_turn_and_writes_none_twice() {
    let load = Load::new().await;
    let mut gateway = Gateway::serve(&load.config()).with_key(KEY);
    let mut places = Places::new(&OF_TURNS);
    let mut turns = 0;
    for run in 0..TALKS {
        let begin = |tries: usize| {
            let names = (0..8).map(move |n| format!("c{}-{run}-{tries}", "x".repeat(n)));
            let gateway = &gateway;
            names.map(move |conversation| {
                let told = Vec::new();
                talk(gateway, Talk { conversation, told })
            })
        };
        let mut talks: Vec<_> = begin(0).collect();
        places
            .wait(&gateway, |tries| talks.extend(begin(tries)))
            .await;
        gateway = places.kill(gateway, run);
        for talk in talks {
            let Talk { conversation, told } = talk.await.unwrap();
            if told.is_empty() {
                continue;
            }
            let mut asked = said_in(&gateway, &conversation).await;
            let newest = asked.len() == NEWEST;
            // The last one may have been answered, and not told of.
            if asked.last() != told.last() {
                asked.pop();
            }
            assert!(
                told.ends_with(&asked) && (newest || asked.len() == told.len()),
                "{conversation}: told {told:?}, kept {asked:?}"
            );
            turns += told.len();
        }
    }
    places.are_reached(TALKS);
    println!("{TALKS} kills, {turns} turns told, none lost, none twice");
    assert!(turns > TALKS, "the load was too small to show anything");
}

/// So many turns are shown.
const NEWEST: usize = 25;

/// What was asked in a conversation, of the newest turns.
async fn said_in(gateway: &Gateway, conversation: &str) -> Vec<String> {
    let answer = gateway.get(&format!("/v1/context/{conversation}")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let messages = answer.json()["recentMessages"].clone();
    let messages = messages.as_array().unwrap().iter();
    let asked = messages.filter(|message| message["role"] == "user");
    asked
        .map(|message| message["content"].as_str().unwrap().to_owned())
        .collect()
}
