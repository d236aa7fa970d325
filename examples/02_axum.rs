//! The OpenAI surface as one more route of an axum app that exists already.

use axum::{Router, body::Body, routing::get};
use http::{Request, header};
use http_body_util::BodyExt;
use rungs::{
    BoxError, Error, ErrorKind,
    http::OpenAi,
    layers::in_flight::InFlightLayer,
    model::{Call, CallContext, RouteHint},
    testing::{Reply, Scripted},
};
use tower::{ServiceBuilder, ServiceExt};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    // Any stack of layers over any provider.
    let stack = ServiceBuilder::new()
        .layer(InFlightLayer::new(100))
        .service(Scripted::new(Reply::text("42")));

    // Who calls, and where the call may go.
    let openai = OpenAi::new(stack, |head: &http::request::Parts, _, _: &_| {
        match head.headers.get(header::AUTHORIZATION) {
            Some(key) if key == "Bearer of-the-house" => {
                Ok((CallContext::new(Call::new("house")), RouteHint::default()))
            }
            _ => Err(Error::new(ErrorKind::Unauthorized, "who are you?")),
        }
    });

    let app = Router::new()
        .route("/", get(async || "an app of its own"))
        .route_service("/v1/chat/completions", openai);

    // `axum::serve(listener, app).await` in real life; here, one request is all.
    let request = Request::post("/v1/chat/completions")
        .header(header::AUTHORIZATION, "Bearer of-the-house")
        .body(Body::from(
            r#"{"model":"m","messages":[{"role":"user","content":"6 x 7?"}]}"#,
        ))?;
    let answer = app.oneshot(request).await?;
    println!("{} {:?}", answer.status(), answer.headers()["x-rungs-tier"]);
    let body = answer.into_body().collect().await?.to_bytes();
    println!("{}", String::from_utf8_lossy(&body));
    assert!(body.windows(2).any(|bytes| bytes == b"42"));
    Ok(())
}

#[test]
fn runs() -> Result<(), BoxError> {
    main()
}
