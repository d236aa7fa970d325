//! Processes that start at once on a store that is not made yet, and stores with which none starts.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
};

use rungs::testing::{Reply, Upstream, servers::PostgresServer};

use crate::{ledger::change, support::*};

/// As often as a race is run.
const RACES: usize = 8;

/// A folder with a configuration in it.
fn folder_with(config: &str) -> PathBuf {
    let folder = folder();
    fs::write(folder.join("rungs.toml"), config).unwrap();
    folder
}

/// A command in a folder: whether it succeeded, and what it said.
fn said(folder: &Path, args: &[&str]) -> Result<(), String> {
    let (status, out, err) = run(folder, args);
    match status.success() {
        true => Ok(()),
        false => Err(format!("{args:?}: {status}\n{out}\n{err}")),
    }
}

/// What three commands say that make a key at once, each in its folder, while `meanwhile` is done.
fn three_keys<T>(folders: [&Path; 3], meanwhile: impl FnOnce() -> T) -> T {
    let create = ["keys", "create", "--name", "k"];
    thread::scope(|scope| {
        let commands = folders.map(|folder| scope.spawn(move || said(folder, &create)));
        let done = meanwhile();
        for command in commands {
            command.join().unwrap().unwrap();
        }
        done
    })
}

fn keys_in(folder: &Path) -> usize {
    let (status, out, err) = run(folder, &["keys", "list"]);
    assert!(status.success(), "{err}");
    out.lines().count()
}

#[tokio::test]
async fn r31_three_processes_that_find_no_file_make_one_schema() {
    let config = provider("p", "http://127.0.0.1:1/v1") + &free("m", "p", "L0");
    for _ in 0..RACES {
        let folder = folder_with(&config);
        three_keys([&folder, &folder, &folder], || ());
        assert_eq!(keys_in(&folder), 3);
        fs::remove_dir_all(folder).unwrap();
    }
}

#[tokio::test]
async fn r31_a_gateway_starts_while_commands_make_its_file() {
    let upstream = Upstream::serve([scripted("m", Reply::text("yes"))]).await;
    let upstream = upstream.unwrap();
    let config = provider("p", &upstream.base_url()) + &free("m", "p", "L0");
    for _ in 0..RACES {
        let folder = folder_with(&config);
        let same = [&*folder, &*folder, &*folder];
        let mut gateway = three_keys(same, || Gateway::serve_in(&folder, &[]));
        assert_eq!(keys_in(&folder), 3);
        assert!(gateway.stop().await.success());
    }
}

#[tokio::test]
async fn r31_three_processes_that_find_an_empty_database_make_one_schema() {
    let server = PostgresServer::start().unwrap();
    let upstream = Upstream::serve([scripted("m", Reply::text("yes"))]).await;
    let upstream = upstream.unwrap();
    for _ in 0..3 {
        let config = format!(
            "[store]\nurl = \"{}\"\nsecret = \"tW5-oPq81-vw7x-Tk20-zq4-Hn81-vw7x\"\n{}{}",
            server.database().unwrap(),
            provider("p", &upstream.base_url()),
            free("m", "p", "L0"),
        );
        let folders = [(); 3].map(|()| folder_with(&config));
        let [one, two, three] = &folders;
        let mut gateways = three_keys([one, two, three], || {
            thread::scope(|scope| {
                let serve = folders
                    .each_ref()
                    .map(|folder| scope.spawn(move || Gateway::serve_in(folder, &[])));
                serve.map(|gateway| gateway.join().unwrap())
            })
        });
        assert_eq!(keys_in(one), 3);
        for gateway in &mut gateways {
            assert_eq!(gateway.get("/ready").await.json()["database"], "up");
            assert!(gateway.stop().await.success(), "{}", gateway.log());
            assert!(
                !gateway.log().contains("the database is away"),
                "{}",
                gateway.log()
            );
        }
    }
}

/// A gateway with three rows in its ledger, each of which was on the disk before the next.
async fn with_rows() -> (Upstream, Gateway) {
    let upstream = Upstream::serve([scripted("m", Reply::text("yes"))]).await;
    let upstream = upstream.unwrap();
    let paid = "price = { input = \"1\", output = \"2\" }";
    let config = provider("p", &upstream.base_url()) + &model("m", "p", "L0", paid);
    let gateway = Gateway::serve(&config);
    for question in ["a", "b", "c"] {
        assert_eq!(gateway.ask(&chat("m", question)).await.status, 200);
    }
    assert_eq!(gateway.rows_after(3).await.len(), 3);
    (upstream, gateway)
}

const WHOLE: &str =
    "4 rows, none altered, none missing\n0 audit rows, none altered, none missing\n";

/// A start in `folder` fails by name, and what is said is no page of a crash.
fn refused(folder: &Path, what: &[&str]) {
    let refused = Refused::in_folder(folder, &["--listen", "127.0.0.1:0"]);
    assert_eq!(refused.status.code(), Some(1), "{}", refused.text);
    for part in what {
        assert!(refused.text.contains(part), "{part}: {}", refused.text);
    }
    assert!(!refused.text.contains("panicked"), "{}", refused.text);
}

/// All is there, and the gateway goes on.
async fn nothing_is_lost(gateway: &Gateway) {
    assert_eq!(gateway.ask(&chat("m", "d")).await.status, 200);
    assert_eq!(gateway.rows_after(4).await.len(), 4);
    assert_eq!(gateway.rungs(&["ledger", "verify"]), WHOLE);
}

#[tokio::test]
async fn a_damaged_journal_stops_the_start_by_name_and_nothing_is_lost() {
    let (_upstream, mut gateway) = with_rows().await;
    assert!(gateway.stop().await.success());
    let segment = gateway.folder.join("rungs.db.journal/000000000001.segment");
    let good = fs::read(&segment).unwrap();
    // In the first row, behind which there are others.
    let mut bad = good.clone();
    bad[100] ^= 1;
    fs::write(&segment, &bad).unwrap();
    let why = [
        "rungs.db.journal cannot be used",
        "row 1 is damaged",
        "Nothing was changed",
    ];
    refused(&gateway.folder, &why);
    assert!(fs::read(&segment).unwrap() == bad, "it was changed");
    fs::write(&segment, &good).unwrap();
    let gateway = gateway.killed(&[]);
    nothing_is_lost(&gateway).await;
}

#[tokio::test]
async fn a_second_gateway_on_one_file_is_refused_and_the_first_goes_on() {
    let (_upstream, gateway) = with_rows().await;
    refused(
        &gateway.folder,
        &["rungs.db is in use by another rungs process"],
    );
    nothing_is_lost(&gateway).await;
}

#[tokio::test]
async fn r31_a_file_of_a_newer_version_stops_the_start_by_name_and_is_left_alone() {
    let (_upstream, mut gateway) = with_rows().await;
    assert!(gateway.stop().await.success());
    let newer = "INSERT INTO _sqlx_migrations VALUES (9001, 'later', '2030-01-01', TRUE, x'00', 1)";
    change(&gateway, newer).await;
    refused(
        &gateway.folder,
        &["rungs.db has schema 9001", "this rungs knows schemas up to"],
    );
    for command in [&["keys", "list"][..], &["ledger", "verify"]] {
        let (status, _, err) = run(&gateway.folder, command);
        assert!(
            !status.success() && err.contains("has schema 9001"),
            "{err}"
        );
    }
    assert_eq!(gateway.rows().await.len(), 3);
    change(
        &gateway,
        "DELETE FROM _sqlx_migrations WHERE version = 9001",
    )
    .await;
    let gateway = gateway.killed(&[]);
    nothing_is_lost(&gateway).await;
}
