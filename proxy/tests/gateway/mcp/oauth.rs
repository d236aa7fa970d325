//! T16: a token of the authorization server opens `/mcp` if all of it is right, and goes nowhere else.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{Ed25519KeyPair, KeyPair},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use super::talk::*;
use crate::support::*;

const ISSUER: &str = "https://auth.example.com";
const AUDIENCE: &str = "http://127.0.0.1:3000/mcp";

struct Signer {
    private: EncodingKey,
    public: Vec<u8>,
}

impl Signer {
    fn new() -> Self {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap();
        Self {
            private: EncodingKey::from_ed_der(document.as_ref()),
            public: pair.public_key().as_ref().to_vec(),
        }
    }

    fn jwk(&self, name: &str) -> Value {
        let x = URL_SAFE_NO_PAD.encode(&self.public);
        json!({ "kty": "OKP", "crv": "Ed25519", "x": x, "kid": name, "alg": "EdDSA", "use": "sig" })
    }

    fn token(&self, kid: Option<&str>, claims: &Value) -> String {
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = kid.map(str::to_owned);
        encode(&header, claims, &self.private).unwrap()
    }
}

fn seconds(from_now: i64) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(now.as_secs()).unwrap() + from_now
}

fn claims() -> Value {
    json!({ "iss": ISSUER, "aud": AUDIENCE, "exp": seconds(300), "sub": "ada" })
}

fn with(member: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[member] = value;
    claims
}

fn without(member: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(member);
    claims
}

async fn issuer(keys: Vec<Value>) -> Wire {
    Wire::answer(move |_| {
        let body = json!({ "keys": keys }).to_string();
        let length = body.len();
        format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}")
    })
    .await
}

fn configured(models: &str, jwks: &str, more: &str) -> String {
    let more = format!(
        "[mcp_server.oauth]\nissuer = \"{ISSUER}\"\naudience = \"{AUDIENCE}\"\njwks = \"{jwks}/jwks.json\"\nkey = \"k\"\nallow_private = true\n{more}{}",
        key("k", KEY, "models = [\"small\"]")
    );
    config(models, &more)
}

async fn status(gateway: &Gateway, token: &str) -> u16 {
    let request = post(gateway, &stateless(1, "tools/list", json!({})));
    let answer = Answer::read(request.bearer_auth(token).send().await.unwrap()).await;
    if answer.status == 401 {
        answer.error();
        let challenge = answer.header("www-authenticate");
        assert_eq!(
            challenge,
            "Bearer resource_metadata=\"http://127.0.0.1:3000/.well-known/oauth-protected-resource/mcp\""
        );
        assert!(!answer.text.contains(token), "{answer:?}");
    }
    answer.status
}

#[tokio::test]
async fn t16_only_a_token_that_is_right_in_everything_opens() {
    let (ours, theirs) = (Signer::new(), Signer::new());
    let mut rsa_only = ours.jwk("rsa");
    rsa_only["alg"] = json!("RS256");
    let issuer = issuer(vec![ours.jwk("one"), rsa_only]).await;
    let none = |claims: &Value| {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!(
            "{}.{}.",
            part(&json!({ "alg": "none", "typ": "JWT", "kid": "one" })),
            part(claims)
        )
    };
    let symmetric = {
        let mut header = Header::new(Algorithm::HS256);
        header.kid = Some("one".into());
        encode(&header, &claims(), &EncodingKey::from_secret(&ours.public)).unwrap()
    };
    let good = ours.token(Some("one"), &claims());
    let cut = good[..good.len() - 2].to_owned();
    let one = |claims: Value| ours.token(Some("one"), &claims);
    for auth in ["", "server = { auth = \"none\" }\n"] {
        let config = format!(
            "{auth}{}",
            configured("http://127.0.0.1:9/v1", &issuer.base_url, "")
        );
        let gateway = Gateway::serve(&config);
        for (what, token, expected) in [
            ("all right", good.clone(), 200),
            (
                "one of several audiences",
                one(with("aud", json!(["https://a.example", AUDIENCE]))),
                200,
            ),
            (
                "another audience",
                one(with("aud", json!("https://other.example/mcp"))),
                401,
            ),
            (
                "an audience that begins the same",
                one(with("aud", json!(format!("{AUDIENCE}/x")))),
                401,
            ),
            ("no audience", one(without("aud")), 401),
            (
                "another issuer",
                one(with("iss", json!("https://evil.example"))),
                401,
            ),
            ("no issuer", one(without("iss")), 401),
            ("over", one(with("exp", json!(seconds(-120)))), 401),
            ("endless", one(without("exp")), 401),
            ("not yet", one(with("nbf", json!(seconds(300)))), 401),
            ("unsigned", none(&claims()), 401),
            ("signed with the public key", symmetric.clone(), 401),
            (
                "signed by somebody else",
                theirs.token(Some("one"), &claims()),
                401,
            ),
            (
                "a key for another algorithm",
                ours.token(Some("rsa"), &claims()),
                401,
            ),
            ("an unknown key", ours.token(Some("two"), &claims()), 401),
            (
                "no key named among several",
                ours.token(None, &claims()),
                401,
            ),
            ("cut", cut.clone(), 401),
            ("no token", "a.b.c".into(), 401),
            ("our key", KEY.into(), 200),
        ] {
            assert_eq!(status(&gateway, &token).await, expected, "{what} ({auth})");
        }
        // A token opens `/mcp` and nothing else.
        let models = gateway.request("GET", "/admin/v1/keys").bearer_auth(&good);
        assert_eq!(models.send().await.unwrap().status(), 401);
    }
    // Whoever sends nonsense does not make us ask the issuer each time.
    assert!(issuer.heard().len() <= 4, "{} times", issuer.heard().len());
}

#[tokio::test]
async fn t16_who_hangs_up_while_keys_are_fetched_locks_nobody_out() {
    let ours = Signer::new();
    let keys = json!({ "keys": [ours.jwk("one")] }).to_string();
    let issuer = Wire::play(move |_, mut socket| {
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{keys}",
            keys.len()
        );
        async move {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let _ = socket.write_all(answer.as_bytes()).await;
        }
    })
    .await;
    let gateway = Gateway::serve(&configured("http://127.0.0.1:9/v1", &issuer.base_url, ""));
    let token = ours.token(Some("one"), &claims());
    let left = tokio::time::timeout(Duration::from_millis(50), status(&gateway, &token)).await;
    assert!(left.is_err(), "it was not that slow");
    until("the fetch", || !issuer.heard().is_empty()).await;
    assert_eq!(status(&gateway, &token).await, 200);
    assert_eq!(issuer.heard().len(), 1, "one fetch is for all");
}

#[tokio::test]
async fn t16_a_token_acts_for_its_subject_and_never_reaches_a_provider() {
    let ours = Signer::new();
    let issuer = issuer(vec![ours.jwk("one")]).await;
    let models = Wire::answer(|_| {
        "HTTP/1.1 500 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".into()
    })
    .await;
    let gateway = Gateway::serve(&configured(&models.base_url, &issuer.base_url, ""));
    let token = ours.token(Some("one"), &claims());
    let gateway = gateway.with_key(&token);
    let asked = json!({ "messages": [{ "role": "user", "content": "q" }], "model": "small" });
    assert_eq!(tool(&gateway, "chat", asked).await["isError"], true);
    let refused = tool(
        &gateway,
        "explain_route",
        json!({ "message": "q", "model": "large" }),
    )
    .await;
    assert_eq!(
        refused["_meta"]["rungs/code"], "not_found",
        "the key's models hold"
    );
    let heard = models.heard();
    assert!(!heard.is_empty());
    for request in heard {
        let signature = token.rsplit('.').next().unwrap().to_ascii_lowercase();
        assert!(!request.head.contains(&signature) && !request.body.contains(&token));
    }
    gateway.rows_after(1).await;
    let exported = gateway.rungs(&["ledger", "export"]);
    assert!(exported.contains(r#""user":"ada""#), "{exported}");
    assert!(!gateway.log().contains(&token));
}

#[tokio::test]
async fn t16_a_token_opens_nothing_once_the_key_whose_rights_it_has_is_over() {
    let ours = Signer::new();
    let issuer = issuer(vec![ours.jwk("one")]).await;
    let config = configured("http://127.0.0.1:9/v1", &issuer.base_url, "");
    let token = ours.token(Some("one"), &claims());
    for (expires, expected) in [("2020-01-31", 401), ("2999-01-31", 200)] {
        let rights = "models = [\"small\"]";
        let until = format!("{rights}\nexpires = \"{expires}\"");
        let gateway = Gateway::serve(&config.replace(rights, &until));
        assert_eq!(status(&gateway, &token).await, expected, "{expires}");
    }
}

#[tokio::test]
async fn clients_are_told_where_tokens_come_from() {
    let issuer = issuer(vec![]).await;
    let gateway = Gateway::serve(&configured("http://127.0.0.1:9/v1", &issuer.base_url, ""));
    for path in [
        "/.well-known/oauth-protected-resource",
        "/.well-known/oauth-protected-resource/mcp",
    ] {
        let told = gateway.get(path).await;
        assert_eq!(
            (told.status, told.json()["resource"].clone()),
            (200, json!(AUDIENCE))
        );
        assert_eq!(told.json()["authorization_servers"], json!([ISSUER]));
    }
    let plain = Gateway::serve(&config("http://127.0.0.1:9/v1", &key("k", KEY, "")));
    assert_eq!(
        plain
            .get("/.well-known/oauth-protected-resource")
            .await
            .status,
        404
    );
    let refused = Refused::by(
        &configured("http://127.0.0.1:9/v1", "http://127.0.0.1:9/v1", "")
            .replace("key = \"k\"\nallow_private", "key = \"kk\"\nallow_private"),
        &[],
    );
    assert!(
        refused.text.contains("mcp_server.oauth.key"),
        "{}",
        refused.text
    );
}
