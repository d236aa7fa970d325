use std::time::Duration;

use super::*;

#[test]
fn conversations_are_remembered_unless_it_is_said_otherwise() {
    let config = load("").conversation;
    assert_eq!(
        (config.window, config.keep, config.summarize),
        (50, 8, true)
    );
    assert_eq!(config.ttl, Duration::from_secs(3600));
    let config =
        load("[conversation]\nwindow = 12\nkeep = 5\nsummarize = false\nttl_seconds = 1800\n");
    let layer = config.conversation.to_layer();
    assert_eq!((layer.window, layer.keep), (12, 5));
    assert!(!config.conversation.summarize);
    assert_eq!(config.conversation.forget_after, None, "for ever");
    let config = load("[conversation]\nforget_after = \"90d\"\n").conversation;
    let ninety_days = Duration::from_secs(90 * 86_400);
    assert_eq!(config.forget_after, Some(ninety_days));
}

#[test]
fn what_makes_no_sense_of_a_conversation_is_named() {
    assert_eq!(
        faults("[conversation]\nwindow = 51\nkeep = 11\n"),
        [
            "rungs.toml:2: `conversation.window`: is 51; it may be 12 to 50",
            "rungs.toml:3: `conversation.keep`: is 11; it may be 5 to 10",
        ]
    );
    assert_eq!(
        faults("[conversation]\nwindow = 11\nkeep = 4\nttl_seconds = 0\n").len(),
        1,
        "what cannot be read comes first"
    );
    let faults_of = |age| faults(&format!("[conversation]\nforget_after = {age}\n"));
    assert!(
        faults_of("\"0d\"")[0].contains("`conversation.forget_after`: must be more than nothing")
    );
    assert!(faults_of("\"soon\"")[0].contains("is no length of time like 30d"));
    assert!(!faults_of("90").is_empty());
    assert_eq!(
        faults("[conversation]\nsumarize = true\n"),
        ["rungs.toml:2: unknown key `conversation.sumarize`; did you mean `summarize`?"]
    );
}
