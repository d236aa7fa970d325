//! What is not ours passes as it is, byte for byte.

use serde_json::json;

use crate::support::*;

const REQUEST: &str = r#"{ "temperature" :1.10,"x_unknown":{"b":1,"a":[1.0,2e3,-0.0,12345678901234567890]},
    "model":"NAME", "messages":[{"role":"user","content":"caf\u00e9 \ud83d\ude00 \/ ü","x":null}],"metadata":{"k":"v"},"seed":1E2}"#;

const ANSWER: &str = r#"{ "id":"chatcmpl-1","x_more":{"z":1,"a":1.10},"object":"chat.completion","choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":"caf\u00e9","x_thought":"…"},"x":2e3}],
    "system_fingerprint":null,"usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4,"x_detail":{"y":1.0}}}"#;

const CHUNKS: [&str; 3] = [
    r#"{ "choices":[{"index":0,"delta":{"content":"caf\u00e9","x_thought":"…"},"finish_reason":null}],"x_more":1.10,"a":1}"#,
    r#"{"choices":[{"index":0,"delta":{"x":[]},"finish_reason":"stop"}] , "z":2e3}"#,
    r#"{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4,"x_detail":1.0},"x":1}"#,
];

fn answer(heard: &Heard) -> String {
    match heard.json()["stream"] == json!(true) {
        true => sse(&[CHUNKS[0], CHUNKS[1], CHUNKS[2], "[DONE]"]),
        false => format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{ANSWER}",
            ANSWER.len()
        ),
    }
}

async fn gateway() -> (Wire, Gateway) {
    let wire = Wire::answer(answer).await;
    let renamed = model(
        "short",
        "p",
        "L0",
        "upstream = \"vendor/long-name\"\nprice = 0",
    );
    let gateway = Gateway::serve(&format!(
        "{}{}{renamed}",
        provider("p", &wire.base_url),
        free("same", "p", "L0")
    ));
    (wire, gateway)
}

#[tokio::test]
async fn a_request_reaches_the_provider_byte_for_byte_except_the_model() {
    let (wire, gateway) = gateway().await;
    for (name, upstream) in [
        ("same", "same"),
        ("short", "vendor/long-name"),
        ("auto", "same"),
    ] {
        let request = gateway.post("/v1/chat/completions", REQUEST.replace("NAME", name));
        let answer = Answer::read(
            request
                .header("x-rungs-cache", "bypass")
                .send()
                .await
                .unwrap(),
        )
        .await;
        assert_eq!((answer.status, &*answer.text), (200, ANSWER), "{name}");
        assert_eq!(
            wire.heard().last().unwrap().body,
            REQUEST.replace("NAME", upstream),
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_stream_changes_only_in_its_options() {
    let (wire, gateway) = gateway().await;
    let stream = REQUEST
        .replacen("{ ", "{ \"stream\": true, ", 1)
        .replace("NAME", "same");
    let answer = Answer::read(
        gateway
            .post("/v1/chat/completions", stream.clone())
            .send()
            .await
            .unwrap(),
    )
    .await;
    assert_eq!(answer.events(), [CHUNKS[0], CHUNKS[1], "[DONE]"]);
    let heard = wire.heard().last().unwrap().body.clone();
    assert_eq!(&heard[..stream.len() - 1], &stream[..stream.len() - 1]);
    let added = heard[stream.len() - 1..].replace(' ', "");
    assert_eq!(added, r#","stream_options":{"include_usage":true}}"#);

    let asked = stream.replacen(
        "{ ",
        "{ \"stream_options\" : {\"x\":1.10, \"include_usage\" :true}, ",
        1,
    );
    let request = gateway
        .post("/v1/chat/completions", asked.clone())
        .header("x-rungs-cache", "bypass");
    let answer = Answer::read(request.send().await.unwrap()).await;
    let events = answer.events();
    assert_eq!(
        [events[0], events[1], events[3]],
        [CHUNKS[0], CHUNKS[1], "[DONE]"]
    );
    // The usage, which the client asked for, has one member more: what the call has cost.
    let (usage, facts) = events[2].split_once(",\"rungs\":").unwrap();
    assert_eq!(format!("{usage}}}"), CHUNKS[2]);
    assert!(facts.contains("\"cost_usd\":\"0\""), "{facts}");
    assert_eq!(wire.heard().last().unwrap().body, asked);
}

#[tokio::test]
async fn no_credential_of_a_client_reaches_a_provider() {
    let wire = Wire::answer(answer).await;
    let provider = provider("p", &wire.base_url)
        + "api_key = \"sk-of-the-provider\"\nheaders = { x-team = \"seven\" }\n";
    let gateway = Gateway::serve(&format!(
        "{}{provider}{}",
        key("k", KEY, ""),
        free("same", "p", "L0")
    ));
    let ours = [
        ("authorization", format!("Bearer {KEY}")),
        ("x-api-key", "mine".to_owned()),
        ("cookie", "c=1".to_owned()),
        ("x-forwarded-for", "10.0.0.1".to_owned()),
    ];
    let request = gateway.post("/v1/chat/completions", chat("same", "q").to_string());
    let request = ours.iter().fold(request, |request, (name, value)| {
        request.header(*name, value)
    });
    assert_eq!(request.send().await.unwrap().status(), 200);
    let head = wire.heard()[0].head.clone();
    assert!(
        head.contains("authorization: bearer sk-of-the-provider\r\n")
            && head.contains("x-team: seven\r\n"),
        "{head}"
    );
    for word in [
        &KEY.to_lowercase(),
        "mine",
        "cookie",
        "x-forwarded-for",
        "x-rungs",
    ] {
        assert!(!head.contains(word), "{word}: {head}");
    }
    assert!(!gateway.log().contains("sk-of-the-provider") && !gateway.log().contains(KEY));
}
