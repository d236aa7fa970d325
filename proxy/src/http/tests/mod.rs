use http::{Method, Request, request::Builder};

use super::*;
use crate::config::{Config, Source};

mod document;
mod grants;
mod pages;

const USER: &str = "zq4-Hn81-vw7x-Tk20";
const ADMIN: &str = "Adm-9f2K-pQ71-xZ83-vB46-mN05";

const CONFIG: &str = r#"
store = { url = "memory:" }
admin = { key = "Adm-9f2K-pQ71-xZ83-vB46-mN05" }
[[key]]
name = "user"
key = "zq4-Hn81-vw7x-Tk20"
[[provider]]
name = "p"
base_url = "http://127.0.0.1:9/v1"
allow_private = true
[[model]]
id = "m"
provider = "p"
tier = "L0"
price = 0
[tools]
allow = ["write"]
"#;

const METHODS: [Method; 5] = [
    Method::GET,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
];

/// A gateway with a user's key and an admin's, and its routes.
async fn served() -> (Gateway, Surface) {
    served_with(CONFIG).await
}

async fn served_with(config: &str) -> (Gateway, Surface) {
    let config = Config::alone(&Source::new("rungs.toml", config)).unwrap();
    let gateway = Gateway::start(config).await.unwrap();
    let surface = surface(&gateway, &metrics::Recorder::install().unwrap());
    (gateway, surface)
}

fn request(method: &Method, path: &str, key: Option<&str>) -> Builder {
    let request = Request::builder()
        .method(method)
        .uri(path.replace("{*id}", "m").replace("{id}", "m"))
        .header("host", "localhost")
        .header("content-type", "application/json");
    match key {
        Some(key) => request.header("authorization", format!("Bearer {key}")),
        None => request,
    }
}
