//! The todo list of a conversation.

use rungs::testing::{
    Reply, Upstream,
    servers::{PostgresServer, RedisServer},
};
use serde_json::{Value, json};

use crate::support::*;

const OTHER: &str = "another-key-of-16";

async fn config(store: &str) -> (Upstream, String) {
    let upstream = Upstream::serve([scripted("m", Reply::text("ok"))])
        .await
        .unwrap();
    let config = format!(
        "{store}\n{}{}{}{}",
        key("ours", KEY, "tenant = \"acme\""),
        key("theirs", OTHER, "tenant = \"rival\""),
        provider("p", &upstream.base_url()),
        free("m", "p", "L0")
    );
    (upstream, config)
}

async fn put(gateway: &Gateway, id: &str, body: &Value) -> Answer {
    let request = gateway
        .request("PUT", &format!("/v1/todos/{id}"))
        .header("content-type", "application/json")
        .body(body.to_string());
    Answer::read(request.send().await.unwrap()).await
}

async fn get(gateway: &Gateway, id: &str) -> Answer {
    gateway.get(&format!("/v1/todos/{id}")).await
}

fn plan() -> Value {
    json!([
        { "id": 1, "title": "read", "description": "the code", "status": "completed" },
        { "id": 2, "title": "write", "description": "", "status": "in-progress" },
        { "id": 3, "title": "test", "description": "", "status": "not-started" },
    ])
}

#[tokio::test]
async fn a_list_is_put_shown_and_kept_over_a_restart() {
    let (_upstream, config) = config("").await;
    let gateway = Gateway::serve(&config).with_key(KEY);
    assert_eq!(get(&gateway, "c").await.status, 404);
    let answer = put(&gateway, "c", &json!({ "todos": plan() })).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let list = answer.json();
    assert_eq!((&list["todos"], &list["version"]), (&plan(), &json!(1)));
    assert_eq!(list["conversationId"], "c");
    let short = json!({ "todos": [{ "id": 7, "title": "only this" }] });
    let list = put(&gateway, "c", &short).await.json();
    let filled =
        json!([{ "id": 7, "title": "only this", "description": "", "status": "not-started" }]);
    assert_eq!((&list["todos"], &list["version"]), (&filled, &json!(2)));
    let gateway = gateway.restart().await;
    assert_eq!(get(&gateway, "c").await.json(), list);
    let delete = gateway.request("DELETE", "/v1/context/c").send().await;
    assert_eq!(
        delete.unwrap().status(),
        204,
        "a list alone is something to forget"
    );
    assert_eq!(get(&gateway, "c").await.status, 404);
}

#[tokio::test]
async fn t13_another_tenants_list_does_not_exist() {
    let (_upstream, config) = config("").await;
    let gateway = Gateway::serve(&config).with_key(KEY);
    put(&gateway, "c", &json!({ "todos": plan() })).await;
    let gateway = gateway.with_key(OTHER);
    assert_eq!(get(&gateway, "c").await.status, 404);
    put(&gateway, "c", &json!({ "todos": [] })).await;
    let gateway = gateway.with_key(KEY);
    assert_eq!(get(&gateway, "c").await.json()["todos"], plan());
}

#[tokio::test]
async fn what_is_wrong_is_named_and_nothing_is_changed() {
    let (_upstream, config) = config("").await;
    let gateway = Gateway::serve(&config).with_key(KEY);
    put(&gateway, "c", &json!({ "todos": plan() })).await;
    let item = |more: Value| {
        let mut item = json!({ "id": 1, "title": "x" });
        item.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        json!({ "todos": [item] })
    };
    let twice = json!({ "todos": [{ "id": 1, "title": "a" }, { "id": 1, "title": "b" }] });
    let many: Vec<_> = (0..201)
        .map(|id| json!({ "id": id, "title": "x" }))
        .collect();
    for (body, param) in [
        (json!({}), Value::Null),
        (json!({ "todos": [], "more": 1 }), json!("more")),
        (json!({ "todos": "read" }), json!("todos")),
        (item(json!({ "status": "done" })), json!("todos[0].status")),
        (item(json!({ "done": true })), json!("todos[0].done")),
        (item(json!({ "id": -1 })), json!("todos[0].id")),
        (item(json!({ "title": " " })), json!("todos[0].title")),
        (
            item(json!({ "title": "x".repeat(501) })),
            json!("todos[0].title"),
        ),
        (
            item(json!({ "description": "x".repeat(10_001) })),
            json!("todos[0].description"),
        ),
        (twice, json!("todos[1].id")),
        (json!({ "todos": many }), json!("todos")),
    ] {
        let answer = put(&gateway, "c", &body).await;
        assert_eq!(
            (answer.status, &answer.error()["param"]),
            (400, &param),
            "{body}"
        );
    }
    let untyped = gateway
        .request("PUT", "/v1/todos/c")
        .body("{}")
        .send()
        .await;
    assert_eq!(untyped.unwrap().status(), 415);
    assert_eq!(get(&gateway, "c").await.json()["todos"], plan());
}

#[tokio::test]
async fn gateways_share_lists_and_a_flush_of_redis_loses_nothing() {
    let (server, redis) = (
        PostgresServer::start().unwrap(),
        RedisServer::start().unwrap(),
    );
    let (_upstream, config) = config(&format!(
        "[store]\nurl = \"{}\"\nsecret = \"tW5-oPq81-vw7x-Tk20-zq4-Hn81-vw7x\"\nredis = \"{}\"\nredis_seconds = 5\n",
        server.database().unwrap(),
        redis.url()
    ))
    .await;
    let (one, two) = (
        Gateway::serve(&config).with_key(KEY),
        Gateway::serve(&config).with_key(KEY),
    );
    put(&one, "c", &json!({ "todos": plan() })).await;
    assert_eq!(get(&two, "c").await.json()["todos"], plan());
    assert_eq!(
        redis.command(&["EXISTS", "todo:list:{acme/c}"]).unwrap(),
        "1"
    );
    put(&two, "c", &json!({ "todos": [] })).await;
    assert_eq!(get(&one, "c").await.json()["todos"], json!([]));
    redis.flush().unwrap();
    assert_eq!(get(&one, "c").await.json()["version"], 2);
}
