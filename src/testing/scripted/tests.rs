use serde_json::Value;
use tower::ServiceExt;

use super::*;
use crate::testing::{ask, ask_stream};

#[tokio::test]
async fn both_forms_say_the_same_and_cost_the_same() {
    let usd = |text: &str| text.parse().unwrap();
    let deployment = Deployment::new("p", "m").price(Price::per_million(usd("1"), usd("2")));
    let usage = Usage::new(10, 7);
    let provider = Scripted::at(deployment, [Reply::text("one two three").usage(usage)]);
    let whole = provider.clone().oneshot(ask("q")).await.unwrap();
    let whole = whole.body.collect(9999).await.unwrap().to_whole().unwrap();
    assert_eq!(provider.bill(), Money::from_nanos(24_000));
    let streamed = provider.clone().oneshot(ask_stream("q")).await.unwrap();
    let streamed = streamed
        .body
        .collect(9999)
        .await
        .unwrap()
        .to_whole()
        .unwrap();
    assert_eq!(provider.bill(), Money::from_nanos(48_000));
    let read = |bytes: &Bytes| serde_json::from_slice::<Value>(bytes).unwrap();
    assert_eq!(read(&whole), read(&streamed));
    assert_eq!((provider.cut(), provider.open()), (0, 0));
}

#[tokio::test]
async fn a_reader_who_leaves_is_billed_for_what_was_made() {
    let deployment =
        Deployment::new("p", "m").price(Price::per_million(Money::ZERO, "1".parse().unwrap()));
    let provider = Scripted::at(deployment, [Reply::text("a b c").usage(Usage::new(0, 4))]);
    let answer = provider.clone().oneshot(ask_stream("q")).await.unwrap();
    assert_eq!(provider.bill(), Money::from_nanos(1000));
    drop(answer);
    assert_eq!((provider.cut(), provider.open()), (1, 0));
}
