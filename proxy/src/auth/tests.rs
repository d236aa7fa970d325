use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use proptest::prelude::*;
use rungs::{
    ErrorKind,
    store::{KeyStore, Role, memory::MemoryKeys},
};
use serde_json::json;

use super::*;
use crate::{
    config::{Config, Source},
    keys::{Issued, NewKey, Registry, Rules},
};

struct Ring {
    ring: Keyring,
    pepper: Pepper,
    store: Arc<MemoryKeys>,
    registry: Registry,
}

fn config(text: &str) -> Config {
    Config::alone(&Source::new("rungs.toml", text)).unwrap()
}

impl Ring {
    fn new(text: &str) -> Self {
        let config = config(text);
        let (pepper, store) = (Pepper::random().unwrap(), Arc::new(MemoryKeys::new()));
        Self {
            ring: Keyring::new(pepper.clone(), store.clone(), &config, None),
            registry: Registry::new(store.clone(), pepper.clone(), Rules::of(&config)),
            pepper,
            store,
        }
    }

    async fn make(&self, body: serde_json::Value) -> Issued {
        let new = serde_json::from_value(body).unwrap();
        self.registry.create(new).await.unwrap()
    }

    /// Looks a credential up and remembers it, as the gateway does.
    async fn enter(&self, credential: &str) -> Result<Arc<Principal>, rungs::Error> {
        let before = self.ring.before();
        let principal = self.ring.look_up(credential).await?;
        self.ring.remember(credential, &principal, before);
        Ok(principal)
    }
}

#[tokio::test]
async fn a_key_is_known_by_the_whole_of_it() {
    let ring = Ring::new("");
    let made = ring.make(json!({ "name": "n" })).await;
    assert!(ring.ring.known(&made.credential).is_none());
    let principal = ring.enter(&made.credential).await.unwrap();
    assert_eq!(principal.key.as_deref(), Some(&*made.key.id));
    assert!(ring.ring.known(&made.credential).is_some());
    for wrong in [
        "",
        "sk-rungs-",
        &made.key.id,
        "sk-rungs-x'; DROP TABLE keys; -- -y",
    ] {
        let error = ring.ring.look_up(wrong).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unauthorized);
    }
}

#[tokio::test]
async fn a_revoked_key_is_not_found_again_nor_one_below_it() {
    let ring = Ring::new("");
    let parent = ring.make(json!({ "name": "parent" })).await;
    let child = ring
        .make(json!({ "name": "child", "parent": parent.key.id }))
        .await;
    let other = ring.make(json!({ "name": "other" })).await;
    for key in [&child, &other] {
        assert!(ring.enter(&key.credential).await.is_ok());
    }
    assert!(ring.store.revoke(&parent.key.id).await.unwrap());
    // Another process did that; when this one hears of it, it is seen at once.
    let known = |key: &Issued| ring.ring.known(&key.credential).is_some();
    assert!(known(&child));
    ring.ring.forget(&parent.key.id);
    assert!(!known(&child) && known(&other));
    for gone in [&parent, &child] {
        assert!(ring.ring.look_up(&gone.credential).await.is_err());
    }
}

#[tokio::test]
async fn what_opens_nothing_any_more_is_not_known_without_the_store_either() {
    let ring = Ring::new("");
    let made = ring.make(json!({ "name": "n" })).await;
    let mut admin: NewKey = serde_json::from_value(json!({ "name": "a" })).unwrap();
    admin.role = Role::Admin;
    let admin = ring.registry.create(admin).await.unwrap();
    for key in [&made, &admin] {
        ring.enter(&key.credential).await.unwrap();
    }
    let known = |key: &Issued| {
        let all = [Silence::Busy, Silence::Away];
        all.map(|silence| {
            ring.ring
                .known_without_store(&key.credential, silence)
                .is_some()
        })
    };
    assert_eq!(known(&made), [true; 2]);
    assert_eq!(
        known(&admin),
        [false; 2],
        "keys are looked after with the store or not at all"
    );
    assert!(ring.store.revoke(&made.key.id).await.unwrap());
    assert!(ring.ring.look_up(&made.credential).await.is_err());
    assert_eq!(known(&made), [false; 2]);
}

#[tokio::test(start_paused = true)]
async fn without_its_store_a_key_is_known_as_long_as_its_owner_chose() {
    let ring = Ring::new("");
    let closed = ring.make(json!({ "name": "closed" })).await;
    let open = json!({ "name": "open", "on_store_down": "open" });
    let open = ring.make(open).await;
    let both = [&closed.credential, &open.credential];
    let without_store =
        |silence| both.map(|key| ring.ring.known_without_store(key, silence).is_some());
    let known = || without_store(Silence::Away);
    assert_eq!(known(), [false; 2], "nobody has asked for them yet");
    for key in both {
        ring.enter(key).await.unwrap();
    }
    let seconds = |seconds| tokio::time::advance(Duration::from_secs(seconds));
    let minutes = |minutes: u64| seconds(60 * minutes);
    seconds(39).await;
    assert_eq!(without_store(Silence::Busy), [true; 2]);
    seconds(2).await;
    assert_eq!(without_store(Silence::Busy), [false; 2], "a moment is over");
    minutes(9).await;
    assert_eq!(known(), [true; 2]);
    assert!(both.iter().all(|key| ring.ring.known(key).is_none()));
    minutes(2).await;
    assert_eq!(known(), [false, true]);
    minutes(24 * 60).await;
    assert_eq!(known(), [false; 2]);
    for key in both {
        ring.enter(key).await.unwrap();
    }
    // A change that this process has heard of is stronger.
    ring.ring.forget(&closed.key.id);
    assert_eq!(known(), [false, true]);
}

#[tokio::test]
async fn another_configuration_knows_them_unless_keys_may_do_something_else_by_it() {
    let ring = Ring::new("");
    let made = ring.make(json!({ "name": "n" })).await;
    ring.enter(&made.credential).await.unwrap();
    for (text, is_known) in [("", true), ("[routing]\nmax_tier = \"L1\"", false)] {
        let (pepper, store) = (ring.pepper.clone(), ring.store.clone());
        let next = Keyring::new(pepper, store, &config(text), Some(&ring.ring));
        let known = next.known(&made.credential).is_some();
        assert_eq!(known, is_known, "{text}");
        // A change that one hears of, both have heard of.
        ring.ring.forget(&made.key.id);
        assert!(next.known(&made.credential).is_none());
        ring.enter(&made.credential).await.unwrap();
    }
}

#[tokio::test]
async fn what_was_looked_up_before_a_change_is_not_remembered_after_it() {
    let ring = Ring::new("");
    let made = ring.make(json!({ "name": "n" })).await;
    let before = ring.ring.before();
    let principal = ring.ring.look_up(&made.credential).await.unwrap();
    ring.ring.forget("another");
    ring.ring.remember(&made.credential, &principal, before);
    assert!(ring.ring.known(&made.credential).is_none());
}

#[tokio::test]
async fn a_key_ends_while_it_is_remembered() {
    let ring = Ring::new("");
    let made = ring.make(json!({ "name": "n", "expires": "1s" })).await;
    let other = ring.make(json!({ "name": "other" })).await;
    let grace = Duration::from_secs(1);
    let rotated = ring.registry.rotate(&other.key.id, grace).await.unwrap();
    let all = [&made.credential, &other.credential, &rotated.credential];
    for credential in all {
        assert!(ring.enter(credential).await.is_ok());
        assert!(ring.ring.known(credential).is_some());
    }
    // The clock of keys is that of the wall.
    std::thread::sleep(Duration::from_millis(1_050));
    let known = all.map(|credential| ring.ring.known(credential).is_some());
    assert_eq!(known, [false, false, true]);
    assert!(ring.ring.look_up(&made.credential).await.is_err());
    assert!(ring.ring.look_up(&other.credential).await.is_err());
}

#[tokio::test]
async fn a_key_below_another_may_do_what_both_may_and_all_pay() {
    let ring = Ring::new(
        "[[project]]\nname = \"web\"\nbudget = \"9/day\"\n[[project]]\nname = \"app\"\nbudget = \"9/day\"",
    );
    let top = ring
        .make(json!({ "name": "top", "models": ["a", "b"], "rpm": 10, "project": "web", "max_tier": "L1" }))
        .await;
    let middle = ring
        .make(json!({ "name": "middle", "parent": top.key.id, "routes": ["chat", "models"], "project": "app" }))
        .await;
    let child = ring
        .make(json!({ "name": "child", "parent": middle.key.id, "models": ["b"], "routes": ["chat"], "project": "web", "tpm": 5 }))
        .await;
    let who = ring.ring.look_up(&child.credential).await.unwrap();
    assert!(who.may_ask("b") && !who.may_ask("a") && !who.may_ask("c"));
    assert_eq!((who.rights.rpm, who.rights.tpm), (Some(10), Some(5)));
    assert_eq!(who.rights.max_tier, Some(rungs::catalog::Tier::L1));
    let keys = [&child, &middle, &top].map(|made| format!("key:{}", made.key.id));
    let mut accounts: Vec<&str> = keys.iter().map(|key| &**key).collect();
    accounts.insert(0, "global");
    accounts.extend(["project:app", "project:web"]);
    assert_eq!(
        who.accounts.iter().map(|a| &**a).collect::<Vec<_>>(),
        accounts
    );

    // What is taken from the topmost is taken from all.
    let terms = serde_json::from_value(json!({ "models": ["a"] })).unwrap();
    ring.registry.patch(&top.key.id, &terms).await.unwrap();
    let who = ring.ring.look_up(&child.credential).await.unwrap();
    assert!(
        !who.may_ask("b") && !who.may_ask("a"),
        "nothing is not everything"
    );
}

#[tokio::test]
async fn keys_of_the_file_stand_below_each_other_and_end() {
    let key = |name: &str, more: &str| {
        format!("[[key]]\nname = \"{name}\"\nkey = \"{name}-zq4-Hn81-vw7x-Tk20\"\n{more}\n")
    };
    let second_from_now = SystemTime::now() + Duration::from_secs(1);
    let soon = jiff::Timestamp::try_from(second_from_now).unwrap();
    let ring = Ring::new(&format!(
        "{}{}{}",
        key("child", "parent = \"top\"\nbudget = \"1/day\""),
        key("top", &format!("rpm = 5\nexpires = \"{soon}\"")),
        key("old", "expires = \"2020-12-31\""),
    ));
    let known = |name: &str| ring.ring.known(&format!("{name}-zq4-Hn81-vw7x-Tk20"));
    let child = known("child").unwrap();
    assert_eq!(child.key.as_deref(), Some("child"));
    assert_eq!(child.rights.rpm, Some(5));
    let accounts: Vec<_> = child.accounts.iter().map(|a| &**a).collect();
    assert_eq!(accounts, ["global", "key:child", "key:top"]);
    assert!(known("old").is_none());
    // The clock of keys is that of the wall.
    std::thread::sleep(Duration::from_millis(1_050));
    assert!(known("top").is_none());
    assert!(known("child").is_none(), "it ends with the key above it");
    let error = ring.ring.look_up("top-zq4-Hn81-vw7x-Tk20").await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Unauthorized);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    /// T2: two credentials with an equal beginning never share an identity.
    #[test]
    fn t2_equal_beginnings_are_not_equal_keys(
        beginning in "[a-z0-9]{16,64}-",
        ends in prop::collection::hash_set("[A-Za-z0-9]{8}", 2..6),
        cut in any::<prop::sample::Index>(),
        tail in "[ -~]{0,40}",
    ) {
        let keys: Vec<(String, String)> = ends
            .iter()
            .map(|end| (format!("k{end}"), format!("{beginning}zq4-Hn81-vw7x-{end}")))
            .collect();
        let file: String = keys
            .iter()
            .map(|(name, key)| format!("[[key]]\nname = \"{name}\"\nkey = \"{key}\"\n"))
            .collect();
        let ring = Ring::new(&file);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let made = runtime.block_on(async {
            let made = ring.make(json!({ "name": "n" })).await;
            ring.enter(&made.credential).await.unwrap();
            made
        });
        let stored = (made.key.id.clone(), made.credential.clone());
        for (name, key) in keys.iter().chain([&stored]) {
            let who = ring.ring.known(key).unwrap();
            prop_assert_eq!(who.key.as_deref(), Some(&**name));
            // Any beginning of it, with any end: somebody else, or nobody.
            let other = format!("{}{tail}", &key[..cut.index(key.len())]);
            if other != *key {
                let known = ring.ring.known(&other);
                prop_assert!(known.is_none_or(|who| who.key.as_deref() != Some(name)));
                let found = runtime.block_on(ring.ring.look_up(&other));
                prop_assert!(found.is_err(), "{}", other);
            }
        }
    }
}

#[test]
fn the_pepper_beside_a_database_stays_the_same_and_private() {
    let folder = std::env::temp_dir().join(format!("rungs-pepper-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let database = folder.join("x.db");
    let hash = Pepper::beside(&database).unwrap().hash("k");
    assert_eq!(Pepper::beside(&database).unwrap().hash("k"), hash);
    assert_ne!(Pepper::random().unwrap().hash("k"), hash);
    let secret = folder.join("x.db.secret");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(
            std::fs::metadata(&secret).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }
    std::fs::write(&secret, b"short").unwrap();
    assert!(Pepper::beside(&database).is_err());
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn those_who_make_a_pepper_at_once_have_the_same() {
    let folder = std::env::temp_dir().join(format!("rungs-peppers-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    for round in 0..50 {
        let database = folder.join(format!("{round}.db"));
        let hash = || Pepper::beside(&database).unwrap().hash("k");
        let begin = std::sync::Barrier::new(8);
        let together = || {
            begin.wait();
            hash()
        };
        let hashes: Vec<_> = std::thread::scope(|scope| {
            let all: Vec<_> = (0..8).map(|_| scope.spawn(together)).collect();
            all.into_iter().map(|one| one.join().unwrap()).collect()
        });
        assert!(hashes.iter().all(|one| *one == hash()));
    }
    let files = std::fs::read_dir(&folder).unwrap();
    assert_eq!(files.count(), 50, "only the secrets are left");
    std::fs::remove_dir_all(&folder).unwrap();
}
