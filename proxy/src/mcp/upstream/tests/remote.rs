use axum::{Router, extract::Request, middleware::Next};
use http::StatusCode;
use rmcp::transport::streamable_http_server::{
    StreamableHttpServerConfig, StreamableHttpService, session::local::LocalSessionManager,
};

use super::{scripted::Scripted, *};

/// The scripted server at an address of its own, behind a token.
async fn serve() -> String {
    let scripted = Scripted::default();
    let service = StreamableHttpService::new(
        move || Ok(scripted.clone()),
        Arc::new(LocalSessionManager::default()),
        StreamableHttpServerConfig::default(),
    );
    let token = axum::middleware::from_fn(async |request: Request, next: Next| {
        let headers = request.headers();
        let is = |name: &str, token: &str| headers.get(name).is_some_and(|t| t == token);
        let admitted = is("authorization", "Bearer canary-1") || is("x-api-key", "canary-1");
        match admitted {
            true => Ok(next.run(request).await),
            false => Err(StatusCode::UNAUTHORIZED),
        }
    });
    let router = Router::new().route_service("/mcp", service).layer(token);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    #[expect(clippy::disallowed_methods, reason = "it ends with the test's runtime")]
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

fn at(url: &str, token: &str) -> String {
    format!(
        "[[mcp]]\nname = \"s\"\nurl = \"{url}\"\nallow_private = true\nheaders = {{ authorization = \"Bearer {token}\" }}\ntimeout_seconds = 2\n"
    )
}

#[tokio::test]
async fn a_server_on_the_network_is_mounted_too() {
    let upstreams = upstreams(&at(&serve().await, "canary-1"));
    let result = call(&upstreams, "echo", json!({ "bytes": 1 }))
        .await
        .unwrap();
    assert_eq!(result["structured"], json!({ "bytes": 1 }));

    let dropped = call(&upstreams, "hang", json!({}));
    assert!(
        tokio::time::timeout(Duration::from_millis(300), dropped)
            .await
            .is_err()
    );
    until_cancelled(&upstreams, 1).await;

    call(&upstreams, "change", json!({})).await.unwrap();
    until("quarantine", || {
        !names(&upstreams).contains(&"s__echo".to_owned())
    })
    .await;
}

#[tokio::test]
async fn a_wrong_token_is_told_to_the_operator_and_not_shown() {
    let upstreams = upstreams(&at(&serve().await, "canary-2"));
    let health = tokio::time::timeout(PATIENCE, upstreams.servers()[0].known_health())
        .await
        .unwrap();
    let Health::Down { why, .. } = health else {
        panic!("it does not let us in");
    };
    assert!(why.contains("401"), "{why}");
    assert!(!why.contains("canary"), "{why}");
}

#[tokio::test]
async fn every_server_of_the_documentation_is_mounted_in_place_of_a_stand_in() {
    const PAGE: &str = include_str!("../../../../../docs/MCP-UPSTREAM.md");
    let blocks = PAGE
        .split("```toml\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next());
    let token = |name: &str, token: &str| (name.to_owned(), token.to_owned());
    let vars = ["NEON", "GRAPHLIT", "VEYRAX", "AUDIENSE"]
        .map(|vendor| token(&format!("{vendor}_AUTHORIZATION"), "Bearer canary-1"))
        .into_iter()
        .chain([token("API_KEY_21ST", "canary-1"), token("EXA_API_KEY", "k")])
        .collect();
    let text = Source::new("page", blocks.collect::<String>());
    let world = World {
        vars: &vars,
        read: &|_| Err(io::ErrorKind::NotFound.into()),
        find: &|_| None,
        ollama: &|_| crate::config::Ollama::Silent,
    };
    let mut servers = Config::load(Some(&text), &world).unwrap().upstreams;
    servers.retain(|server| matches!(server.way, config::Way::Url { .. }));
    assert_eq!(servers.len(), 5);
    for server in &mut servers {
        if let config::Way::Url {
            url, allow_private, ..
        } = &mut server.way
        {
            (*url, *allow_private) = (serve().await.parse().unwrap(), true);
        }
    }
    let upstreams = Upstreams::new(Pins::in_memory());
    upstreams.adopt(&servers);
    for server in &servers {
        mounted(&upstreams, &format!("{}__echo", server.name)).await;
    }
}
