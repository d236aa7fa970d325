use std::time::Duration;

use rungs::testing::servers::RedisServer;

use super::*;

#[tokio::test]
async fn values_are_kept_apart_by_tenant_and_for_a_while() {
    let shelf = Shelf::open(None).await.unwrap();
    let hour = Duration::from_secs(3600);
    assert_eq!(
        shelf.set("a", "k", "of a".into(), hour).await.unwrap(),
        hour
    );
    assert_eq!(
        shelf
            .set("b", "k", "of b".into(), Duration::MAX)
            .await
            .unwrap(),
        DAY
    );
    assert_eq!(shelf.get("a", "k").await.unwrap().as_deref(), Some("of a"));
    assert!(shelf.del("a", "k").await.unwrap());
    assert!(!shelf.del("a", "k").await.unwrap());
    assert_eq!(shelf.get("a", "k").await.unwrap(), None);
    assert_eq!(shelf.get("b", "k").await.unwrap().as_deref(), Some("of b"));
    assert!(
        shelf
            .set("a", "k", "x".repeat(VALUE + 1), hour)
            .await
            .is_err()
    );
    shelf
        .set("a", "short", "x".into(), Duration::ZERO)
        .await
        .unwrap();
    std::thread::sleep(Duration::from_millis(1100));
    assert_eq!(shelf.get("a", "short").await.unwrap(), None);
}

#[test]
fn no_key_reaches_another_tenants() {
    let mut addresses = std::collections::HashSet::new();
    for (tenant, key) in [
        ("a", "b:c"),
        ("a:b", "c"),
        ("a", "1:a:b:c"),
        ("", "a:b:c"),
        ("1:a", "b"),
    ] {
        assert!(
            addresses.insert(address(tenant, key).unwrap()),
            "{tenant} {key}"
        );
    }
    for key in ["", "a\r\nDEL lease:x", "a\nb", "\0", &"k".repeat(KEY + 1)] {
        assert!(address("a", key).is_err(), "{key:?}");
    }
    for key in ["*", "../lease:1", "?", "[a-z]", "lease:1", "{tool}"] {
        assert!(address("a", key).unwrap().starts_with("tool:1:a:"), "{key}");
    }
}

#[tokio::test]
async fn a_user_that_may_do_more_is_not_used_and_one_that_may_not_cannot() {
    let server = RedisServer::start().unwrap();
    let admin = |words: &[&str]| server.command(words).unwrap();
    let open = ToolUrl::new(server.url());
    let refused = Shelf::open(Some(&open)).await.err().unwrap();
    assert!(refused.message().contains("ACL SETUSER"), "{refused}");

    admin(&[
        "ACL",
        "SETUSER",
        "tools",
        "on",
        ">word",
        "~tool:*",
        "resetchannels",
        "-@all",
        "+get",
        "+set",
        "+del",
    ]);
    admin(&["SET", "lease:1", "money"]);
    let url = server.url().replace("redis://", "redis://tools:word@");
    let shelf = Shelf::open(Some(&ToolUrl::new(url))).await.unwrap();
    shelf
        .set("a", "k", "v".into(), Duration::from_secs(60))
        .await
        .unwrap();
    assert_eq!(shelf.get("a", "k").await.unwrap().as_deref(), Some("v"));
    let ttl = admin(&["PTTL", "tool:1:a:k"]);
    assert!(
        ttl.trim().parse::<u64>().is_ok_and(|ttl| ttl <= 60_000),
        "{ttl}"
    );
    assert!(shelf.del("a", "k").await.unwrap());

    // Without the prefix: the user alone.
    let Shelf::Remote(remote) = shelf else {
        unreachable!()
    };
    for key in ["lease:1", "llm:cache:x", "tool", "TOOL:1:a:k", "*"] {
        assert!(remote.get(key).await.is_err(), "{key}");
        assert!(remote.set(key, "x", DAY).await.is_err(), "{key}");
        assert!(remote.del(key).await.is_err(), "{key}");
    }
    let mut connection = remote.connection().await.unwrap();
    for command in [
        "FLUSHALL",
        "KEYS *",
        "CONFIG GET *",
        "EVAL return(1) 0",
        "SCAN 0",
        "ACL LIST",
        "MONITOR",
        "DEBUG SLEEP 0",
        "SUBSCRIBE x",
        "RENAME tool:a tool:b",
    ] {
        let mut words = command.split(' ');
        let mut cmd = redis::cmd(words.next().unwrap());
        for word in words {
            cmd.arg(word);
        }
        let done: Result<redis::Value, _> = cmd.query_async(&mut connection).await;
        assert!(done.is_err(), "{command}");
    }
    assert!(admin(&["GET", "lease:1"]).contains("money"));
}
