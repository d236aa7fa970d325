use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use rungs::{
    ErrorKind,
    catalog::Tier,
    store::{KeyRecord, KeyStore, Role, StoreFuture, memory::MemoryKeys},
};
use serde_json::{Value, json};

use super::*;
use crate::{
    auth::Pepper,
    config::{Config, Source},
};

fn registry() -> (Registry, Arc<MemoryKeys>) {
    let store = Arc::new(MemoryKeys::new());
    let project = "[[project]]\nname = \"web\"\nbudget = \"9/day\"\n";
    (registry_of(store.clone(), project), store)
}

fn registry_of(store: Arc<dyn KeyStore>, more: &str) -> Registry {
    let text = format!("[budget]\ntz = \"Asia/Tokyo\"\n{more}");
    let config = Config::alone(&Source::new("rungs.toml", &text)).unwrap();
    Registry::new(store, Pepper::random().unwrap(), Rules::of(&config))
}

fn new(body: Value) -> NewKey {
    serde_json::from_value(body).unwrap()
}

fn terms(body: Value) -> Terms {
    serde_json::from_value(body).unwrap()
}

/// The member at fault, and what is wrong with it.
fn fault(error: &rungs::Error) -> (Option<&str>, &str) {
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    (error.get_param(), error.message())
}

fn written(key: &KeyRecord) -> Vec<String> {
    key.budgets.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn what_is_given_is_kept_and_what_is_not_is_open() {
    let (registry, store) = registry();
    let bare = registry
        .create(new(json!({ "name": "bare" })))
        .await
        .unwrap();
    assert_eq!((&*bare.key.tenant, bare.key.role), ("default", Role::User));
    assert_eq!((bare.key.max_tier, bare.key.expires), (None, None));
    assert!(
        bare.credential
            .starts_with(&format!("sk-rungs-{}-", bare.key.id))
    );
    let full = json!({
        "name": "full", "tenant": "acme", "project": "web", "models": ["a"], "max_tier": "L1",
        "routes": ["chat"], "budgets": ["1/day", "5/week@sun Europe/Berlin", "9/total"], "warn_at": 80,
        "on_exhaust": "refuse", "on_store_down": "open", "rpm": 6, "tpm": 7, "expires": "30d",
    });
    let full = registry.create(new(full)).await.unwrap().key;
    assert_eq!(
        written(&full),
        ["1/day Asia/Tokyo", "5/week@sun Europe/Berlin", "9/total"]
    );
    let days = full.expires.unwrap().duration_since(full.created).unwrap();
    assert_eq!(days, Duration::from_secs(30 * 86_400));
    assert_eq!(store.get(&full.id).await.unwrap(), Some(full));
}

#[tokio::test]
async fn a_change_touches_what_it_names() {
    let (registry, _) = registry();
    let made = json!({ "name": "n", "rpm": 5, "budgets": "1/day", "tz": "Europe/Berlin", "max_tier": "L1" });
    let id = registry.create(new(made)).await.unwrap().key.id;
    for (change, budgets, rpm, tier) in [
        (json!({}), "1/day Europe/Berlin", Some(5), Some(Tier::L1)),
        (
            json!({ "budgets": "2/day" }),
            "2/day Europe/Berlin",
            Some(5),
            Some(Tier::L1),
        ),
        (
            json!({ "tz": "UTC", "rpm": null }),
            "2/day",
            None,
            Some(Tier::L1),
        ),
        (
            json!({ "max_tier": null, "rpm": 9 }),
            "2/day",
            Some(9),
            None,
        ),
        (
            json!({ "budgets": "3/month", "tz": "Asia/Tokyo" }),
            "3/month Asia/Tokyo",
            Some(9),
            None,
        ),
    ] {
        let key = registry.patch(&id, &terms(change)).await.unwrap();
        assert_eq!(
            (&*written(&key)[0], key.rpm, key.max_tier),
            (budgets, rpm, tier)
        );
        assert_eq!(key.name, "n");
    }
    let none = registry
        .patch(&id, &terms(json!({ "budgets": [] })))
        .await
        .unwrap();
    assert!(none.budgets.is_empty());
}

#[tokio::test]
async fn budgets_take_the_zone_of_those_before_that_have_a_midnight() {
    let (registry, _) = registry();
    for (before, zone) in [
        (json!("9/total"), "Asia/Tokyo"),
        (json!(["9/total", "1/day Europe/Berlin"]), "Europe/Berlin"),
    ] {
        let made = json!({ "name": "n", "budgets": before });
        let id = registry.create(new(made)).await.unwrap().key.id;
        let change = terms(json!({ "budgets": "2/week" }));
        let key = registry.patch(&id, &change).await.unwrap();
        assert_eq!(written(&key), [format!("2/week {zone}")]);
    }
}

#[tokio::test]
async fn null_takes_nothing_away_from_what_a_key_is_never_without() {
    let members = [
        "name",
        "models",
        "routes",
        "budgets",
        "tz",
        "on_exhaust",
        "on_store_down",
    ];
    for member in members {
        assert!(
            serde_json::from_value::<Terms>(json!({ member: null })).is_err(),
            "{member}"
        );
    }
    for member in ["project", "max_tier", "warn_at", "rpm", "tpm", "expires"] {
        terms(json!({ member: null }));
    }
    // In a new key nothing is there that it could take away.
    let (registry, _) = registry();
    let mut nulls = json!({ "name": "n", "tenant": null, "parent": null, "rpm": null });
    for member in &members[1..] {
        nulls[member] = Value::Null;
    }
    let made = registry.create(new(nulls)).await.unwrap().key;
    let bare = registry.create(new(json!({ "name": "n" }))).await.unwrap();
    let bare = bare.key;
    let same = KeyRecord {
        id: made.id.clone(),
        hash: made.hash,
        created: made.created,
        ..bare
    };
    assert_eq!(made, same);
    for wrong in [
        json!({ "name": "n", "role": null }),
        json!({ "name": "n", "budget": null }),
    ] {
        assert!(
            serde_json::from_value::<NewKey>(wrong.clone()).is_err(),
            "{wrong}"
        );
    }
    let error = registry.create(new(json!({ "name": null }))).await;
    assert_eq!(fault(&error.err().unwrap()).0, Some("name"));
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_with_the_member_at_fault() {
    let (registry, store) = registry();
    for (body, param, why) in [
        (json!({}), "name", "empty"),
        (json!({ "name": "  " }), "name", "empty"),
        (json!({ "name": "a\u{0}b" }), "name", "control"),
        (json!({ "name": "x".repeat(129) }), "name", "128"),
        (json!({ "name": "n", "tenant": "a/b" }), "tenant", "/"),
        (json!({ "name": "n", "tenant": "" }), "tenant", "empty"),
        (
            json!({ "name": "n", "project": "nope" }),
            "project",
            "no project `nope`",
        ),
        (
            json!({ "name": "n", "budgets": ["1/day", "2/day"] }),
            "budgets",
            "two budgets per day",
        ),
        (json!({ "name": "n", "warn_at": 0 }), "warn_at", "1 to 100"),
        (
            json!({ "name": "n", "warn_at": 101 }),
            "warn_at",
            "1 to 100",
        ),
        (
            json!({ "name": "n", "expires": "2020-01-01T00:00:00Z" }),
            "expires",
            "past",
        ),
    ] {
        let error = registry.create(new(body.clone())).await.err().unwrap();
        let (at, message) = fault(&error);
        assert!(
            at == Some(param) && message.contains(why),
            "{body}: {error}"
        );
    }
    let admin = |body| NewKey {
        role: Role::Admin,
        ..new(body)
    };
    let rich = admin(json!({ "name": "n", "budgets": "1/day" }));
    assert!(
        registry.create(rich).await.is_err(),
        "an admin key spends nothing"
    );
    let error = registry
        .create(new(json!({ "name": "n", "parent": "nobody" })))
        .await;
    assert_eq!(error.err().unwrap().kind(), ErrorKind::NotFound);
    assert!(store.list().await.unwrap().is_empty(), "nothing was made");
}

#[test]
fn t3_a_body_says_what_it_may_and_nothing_else() {
    for member in [
        "role", "id", "key", "hash", "previous", "created", "revoked", "version", "Name", "admin",
        "budget",
    ] {
        let body = json!({ "name": "n", member: "admin" });
        assert!(
            serde_json::from_value::<NewKey>(body.clone()).is_err(),
            "{body}"
        );
        assert!(
            serde_json::from_value::<Terms>(body.clone()).is_err(),
            "{body}"
        );
    }
    for member in ["tenant", "parent"] {
        assert!(serde_json::from_value::<Terms>(json!({ member: "x" })).is_err());
    }
    for (member, wrong) in [
        ("models", json!("all")),
        ("models", json!([1])),
        ("max_tier", json!("L99999")),
        ("routes", json!(["admin"])),
        ("routes", json!(["Chat"])),
        ("budgets", json!("1/hour")),
        ("budgets", json!(["-1/day"])),
        ("budgets", json!(1)),
        ("tz", json!("Europe/Bonn")),
        ("warn_at", json!(-1)),
        ("warn_at", json!(1.5)),
        ("on_exhaust", json!("explode")),
        ("on_store_down", json!(true)),
        ("rpm", json!(-1)),
        ("rpm", json!("1")),
        ("expires", json!("soon")),
        ("expires", json!("-1d")),
        ("expires", json!("99999999999999999999d")),
    ] {
        let body = json!({ member: wrong });
        assert!(
            serde_json::from_value::<Terms>(body.clone()).is_err(),
            "{body}"
        );
    }
}

#[tokio::test]
async fn t3_a_key_is_never_wider_than_its_parent() {
    let (registry, store) = registry();
    let top = json!({
        "name": "top", "tenant": "acme", "models": ["a", "b"], "max_tier": "L1", "routes": ["chat", "models"],
        "budgets": ["5/day", "50/month"], "rpm": 60, "tpm": 1000, "expires": "10d",
    });
    let top = registry.create(new(top)).await.unwrap().key;
    let below = json!({
        "name": "child", "parent": top.id, "models": ["b"], "max_tier": "L0", "routes": ["chat"],
        "budgets": ["5/day", "7/week"], "rpm": 60, "tpm": 10, "expires": "9d",
    });
    let child = registry.create(new(below)).await.unwrap().key;
    assert_eq!(child.tenant, "acme", "it reaches what its parent reaches");
    let wider = [
        ("models", json!(["a", "c"])),
        ("models", json!(["auto"])),
        ("max_tier", json!("L2")),
        ("routes", json!(["chat", "embeddings"])),
        ("budgets", json!("5.000000001/day Asia/Tokyo")),
        ("rpm", json!(61)),
        ("tpm", json!(1001)),
        ("expires", json!("11d")),
    ];
    for (member, value) in wider {
        let mut body = json!({ "name": "n", "parent": top.id });
        body[member] = value.clone();
        let error = registry.create(new(body)).await.err().unwrap();
        assert_eq!(fault(&error).0, Some(member), "{error}");
        let error = registry
            .patch(&child.id, &terms(json!({ member: value })))
            .await;
        assert_eq!(fault(&error.unwrap_err()).0, Some(member));
    }
    let stranger = json!({ "name": "n", "parent": top.id, "tenant": "other" });
    let error = registry.create(new(stranger)).await.err().unwrap();
    assert_eq!(fault(&error).0, Some("tenant"));
    assert_eq!(
        store.get(&child.id).await.unwrap(),
        Some(child.clone()),
        "nothing changed"
    );

    // A key below one that says nothing is held to the configured ceiling, as that one is.
    let free = registry
        .create(new(json!({ "name": "free" })))
        .await
        .unwrap()
        .key;
    let error = registry.create(new(
        json!({ "name": "n", "parent": free.id, "max_tier": "L3" }),
    ));
    assert_eq!(fault(&error.await.err().unwrap()).0, Some("max_tier"));

    registry.revoke(&top.id).await.unwrap();
    assert!(
        store
            .get(&child.id)
            .await
            .unwrap()
            .unwrap()
            .revoked
            .is_some()
    );
    let orphan = registry
        .create(new(json!({ "name": "n", "parent": top.id })))
        .await;
    assert_eq!(fault(&orphan.err().unwrap()).0, Some("parent"));
    for verb in [
        registry
            .patch(&child.id, &terms(json!({ "name": "x" })))
            .await
            .err(),
        registry.rotate(&child.id, Duration::ZERO).await.err(),
        registry.revoke(&child.id).await.err(),
    ] {
        assert!(verb.unwrap().message().contains("revoked"));
    }
}

#[tokio::test]
async fn keys_do_not_stand_above_each_other_without_end() {
    let (registry, _) = registry();
    let mut parent = registry
        .create(new(json!({ "name": "0" })))
        .await
        .unwrap()
        .key
        .id;
    for depth in 1..8 {
        let body = json!({ "name": depth.to_string(), "parent": parent });
        parent = registry.create(new(body)).await.unwrap().key.id;
    }
    let error = registry
        .create(new(json!({ "name": "8", "parent": parent })))
        .await;
    assert!(fault(&error.err().unwrap()).1.contains("at most 8"));
}

#[tokio::test]
async fn a_rotation_is_not_undone_by_a_change_at_the_same_time() {
    let (registry, store) = registry();
    let made = registry
        .create(new(json!({ "name": "n" })))
        .await
        .unwrap()
        .key;
    let registry = Arc::new(registry);
    let stale = made.clone();
    let rotated = registry
        .rotate(&made.id, Duration::from_secs(60))
        .await
        .unwrap()
        .key;
    assert!(
        !store.update(&stale).await.unwrap(),
        "what was read before is no base for a change"
    );
    assert_ne!(rotated.hash, made.hash);
    assert_eq!(rotated.previous.map(|secret| secret.hash), Some(made.hash));
    let changed = registry
        .patch(&made.id, &terms(json!({ "rpm": 3 })))
        .await
        .unwrap();
    assert_eq!((changed.hash, changed.rpm), (rotated.hash, Some(3)));
    let again = registry.rotate(&made.id, Duration::ZERO).await.unwrap().key;
    assert_eq!(again.previous, None, "without grace no older secret opens");
    let error = registry
        .rotate(&made.id, Duration::from_secs(31 * 86_400))
        .await;
    assert_eq!(fault(&error.err().unwrap()).0, Some("grace"));
}

#[test]
fn times_are_read_as_people_write_them() {
    for (text, seconds) in [
        ("0s", 0),
        ("90s", 90),
        ("5m", 300),
        ("12h", 43_200),
        ("30d", 2_592_000),
        ("2w", 1_209_600),
    ] {
        assert_eq!(text.parse::<Age>().unwrap().0, Duration::from_secs(seconds));
    }
    for wrong in [
        "",
        "d",
        "1",
        "1y",
        "+1d",
        "-1d",
        "1.5h",
        "1 d",
        "٣d",
        "18446744073709551615w",
        "40000d",
    ] {
        assert!(wrong.parse::<Age>().is_err(), "{wrong}");
    }
    let moment: Expiry = "2027-01-31T00:00:00+01:00".parse().unwrap();
    assert_eq!(
        rfc3339(moment.moment(std::time::SystemTime::UNIX_EPOCH)),
        "2027-01-30T23:00:00Z"
    );
    let day: Expiry = "2027-01-31".parse().unwrap();
    assert_eq!(
        rfc3339(day.moment(std::time::SystemTime::UNIX_EPOCH)),
        "2027-02-01T00:00:00Z",
        "it opens on that day"
    );
    for wrong in [
        "tomorrow",
        "2027-02-29",
        "2027-1-31",
        "20270131",
        "2027-01-31 12:00",
        "2027-13-01T00:00:00Z",
    ] {
        assert!(wrong.parse::<Expiry>().is_err(), "{wrong}");
    }
}

#[test]
fn unknown_routes_of_a_stored_key_open_nothing() {
    let scopes = Scopes::named(&["of_a_newer_version".to_owned()]);
    assert!(Scope::ALL.into_iter().all(|scope| !scopes.contains(scope)));
    // A key that names none may call all but what tells of everybody's calls.
    for scope in Scope::ALL {
        let is_open = Scopes::named(&[]).contains(scope);
        assert_eq!(is_open, scope != Scope::Metrics, "{scope:?}");
    }
    for scope in Scope::ALL {
        let only = Scopes::named(&[scope.as_str().to_owned()]);
        assert!(
            Scope::ALL
                .into_iter()
                .all(|other| only.contains(other) == (other == scope))
        );
    }
}

/// Keys that cannot be read any more once one has been changed.
#[derive(Default)]
struct Unreadable {
    keys: MemoryKeys,
    changed: AtomicBool,
}

impl KeyStore for Unreadable {
    fn get<'a>(&'a self, id: &'a str) -> StoreFuture<'a, Option<KeyRecord>> {
        match self.changed.load(Ordering::Relaxed) {
            false => self.keys.get(id),
            true => Box::pin(async { Err(rungs::Error::internal("away")) }),
        }
    }

    fn insert<'a>(&'a self, key: &'a KeyRecord) -> StoreFuture<'a, ()> {
        self.keys.insert(key)
    }

    fn update<'a>(&'a self, key: &'a KeyRecord) -> StoreFuture<'a, bool> {
        self.changed.store(true, Ordering::Relaxed);
        self.keys.update(key)
    }

    fn revoke<'a>(&'a self, id: &'a str) -> StoreFuture<'a, bool> {
        self.keys.revoke(id)
    }

    fn list(&self) -> StoreFuture<'_, Vec<KeyRecord>> {
        self.keys.list()
    }
}

#[tokio::test]
async fn a_new_secret_is_told_though_the_key_cannot_be_read_again() {
    let store = Arc::new(Unreadable::default());
    let registry = registry_of(store.clone(), "");
    let made = registry.create(new(json!({ "name": "n" }))).await.unwrap();
    let grace = Duration::from_secs(60);
    let rotated = registry.rotate(&made.key.id, grace).await.unwrap().key;
    assert_eq!(store.keys.list().await.unwrap(), [rotated]);
}

#[tokio::test]
async fn a_grace_that_was_given_is_not_cut_short_unseen() {
    let (registry, _) = registry();
    let made = registry.create(new(json!({ "name": "n" }))).await.unwrap();
    let id = &made.key.id;
    let hour = Duration::from_secs(3600);
    let first = registry.rotate(id, hour).await.unwrap().key;
    let error = registry.rotate(id, hour).await.err().unwrap();
    let until = first.previous.as_ref().unwrap().until;
    let (param, message) = fault(&error);
    assert_eq!(param, Some("grace"));
    assert!(message.contains(&rfc3339(until)), "{message}");
    assert_eq!(registry.show(id).await.unwrap(), first, "nothing changed");
    let without = registry.rotate(id, Duration::ZERO).await.unwrap().key;
    assert_eq!(without.previous, None);
    // One that is over stands in nobody's way.
    let short = Duration::from_millis(1);
    registry.rotate(id, short).await.unwrap();
    tokio::time::sleep(short * 5).await;
    registry.rotate(id, hour).await.unwrap();
}

#[tokio::test]
async fn a_secret_can_go_whatever_has_changed_around_its_key() {
    let (registry, store) = registry();
    let top = json!({ "name": "top", "models": ["a", "b"], "project": "web" });
    let top = registry.create(new(top)).await.unwrap().key;
    let child = json!({ "name": "child", "parent": top.id, "models": ["b"] });
    let child = registry.create(new(child)).await.unwrap().key;
    let narrower = terms(json!({ "models": ["a"] }));
    registry.patch(&top.id, &narrower).await.unwrap();
    let renamed = terms(json!({ "name": "x" }));
    let error = registry.patch(&child.id, &renamed).await.unwrap_err();
    assert_eq!(fault(&error).0, Some("models"));
    let rotated = registry.rotate(&child.id, Duration::ZERO).await.unwrap();
    assert_ne!(rotated.key.hash, child.hash);
    let without_project = registry_of(store.clone(), "");
    for id in [&top.id, &child.id] {
        without_project.rotate(id, Duration::ZERO).await.unwrap();
    }
    // What opens nothing needs no other secret.
    let ended = KeyRecord {
        expires: Some(SystemTime::UNIX_EPOCH),
        ..registry.show(&top.id).await.unwrap()
    };
    assert!(store.update(&ended).await.unwrap());
    for id in [&top.id, &child.id] {
        let error = registry.rotate(id, Duration::ZERO).await.err().unwrap();
        assert!(fault(&error).1.contains("expired"), "{error}");
    }
}
