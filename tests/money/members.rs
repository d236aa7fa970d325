//! What a request may ask for where a budget answers for it.

use rungs::{
    catalog::{Deployment, Money, Price},
    json::RawObject,
    model::{Call, CallContext, ModelRequest, TokenBound},
};

fn asked(members: &str) -> ModelRequest {
    let body = format!(r#"{{"model":"m","messages":[]{members}}}"#);
    let body = RawObject::parse(body.into()).unwrap();
    ModelRequest::chat(body, CallContext::new(Call::new("t")))
}

fn priced() -> Deployment {
    Deployment::new("p", "m").price(Price::per_million(Money::from_nanos(1), Money::ZERO))
}

/// The member that a budget cannot answer for.
fn refused(members: &str, deployment: &Deployment) -> Option<String> {
    let error = TokenBound::covers(&asked(members), deployment).err()?;
    Some(error.get_param().unwrap().to_owned())
}

#[test]
fn tokens_can_be_asked_for_in_every_usual_way() {
    let members = r#","temperature":1,"stop":["x"],"tools":[{"type":"function","function":{"name":"f"}},
        {"function":{"name":"g"}},{"type":"custom","custom":{"name":"h"}}],"modalities":["text"],"reasoning_effort":"low",
        "chat_template_kwargs":{"enable_thinking":false},"top_k":4,"response_format":{"type":"json_object"},"audio":null"#;
    assert_eq!(refused(members, &priced()), None);
    assert_eq!(refused(members, &priced().price(Price::FREE)), None);
    let unset = asked(r#","models":null,"provider":null"#);
    assert_eq!(TokenBound::choosing(&unset.body), None);
    let set = asked(r#","models":["dear"]"#);
    assert_eq!(TokenBound::choosing(&set.body), Some("models"));
}

#[test]
fn what_may_cost_more_is_refused_by_name() {
    for (members, name) in [
        (r#","models":["dear"]"#, "models"),
        (r#","m\u006fdels":["dear"]"#, "models"),
        (r#","plugins":[{"id":"web"}]"#, "plugins"),
        (r#","web_search_options":{}"#, "web_search_options"),
        (r#","search_parameters":{}"#, "search_parameters"),
        (r#","best_of":8"#, "best_of"),
        (r#","options":{"num_predict":-1}"#, "options"),
        (r#","Max_Tokens":8"#, "Max_Tokens"),
        (r#","tools":[{"type":"web_search"}]"#, "tools"),
        (r#","tools":[{"google_search":{}}]"#, "tools"),
        (r#","tools":{"type":"function"}"#, "tools"),
        (
            r#","modalities":["text","audio"],"audio":{"voice":"v"}"#,
            "modalities",
        ),
        (r#","modalities":["image"]"#, "modalities"),
        (r#","not_known_yet":1"#, "not_known_yet"),
    ] {
        assert_eq!(
            refused(members, &priced()).as_deref(),
            Some(name),
            "{members}"
        );
    }
}

#[test]
fn an_operator_may_know_better() {
    let deployment = Deployment {
        free_members: ["best_of", "tools"].map(Into::into).into(),
        ..priced()
    };
    let members = r#","best_of":8,"tools":[{"type":"web_search"}]"#;
    assert_eq!(refused(members, &deployment), None);
    assert_eq!(
        refused(r#","plugins":[]"#, &deployment).as_deref(),
        Some("plugins")
    );
}

/// A model that costs nothing can be the name for one that does.
#[test]
fn where_tokens_are_free_only_another_model_can_cost() {
    let free = priced().price(Price::FREE);
    assert_eq!(refused(r#","options":{},"not_known_yet":1"#, &free), None);
    for name in [
        "models",
        "Models",
        "provider",
        "route",
        "preset",
        "plugins",
        "fallbacks",
    ] {
        let members = format!(r#","{name}":["dear"]"#);
        assert_eq!(refused(&members, &free).as_deref(), Some(name));
    }
}
