use super::*;

#[test]
fn a_webhook_is_https_unless_it_is_near_and_that_is_meant() {
    let webhook = |lines: &str| load(&format!("[budget]\n{lines}\n")).webhook.unwrap();
    let far = webhook("webhook = \"https://hooks.example/T0/B0/s3cr3t\"");
    assert_eq!((far.host(), far.allow_private), ("hooks.example", false));
    assert!(far.authorization.is_none());
    let near = webhook(
        "webhook = \"http://127.0.0.1:9/x\"\nwebhook_allow_private = true\nwebhook_secret = \"hush-hush\"",
    );
    assert_eq!(near.authorization.as_ref().unwrap(), "Bearer hush-hush");
    assert!(!format!("{near:?}").contains("hush"));
    assert!(load("").webhook.is_none());
    for (lines, path, why) in [
        (
            "webhook = \"http://hooks.example/x\"",
            "webhook",
            "use https",
        ),
        ("webhook = \"https://10.0.0.1/x\"", "webhook", "private"),
        ("webhook = \"ftp://hooks.example\"", "webhook", "no URL"),
        (
            "webhook = \"https://u:p@hooks.example\"",
            "webhook",
            "credentials",
        ),
        ("webhook_secret = \"x\"", "webhook_secret", "of no use"),
        (
            "webhook = \"https://h.example\"\nwebhook_secret = { env = \"NOWHERE\" }",
            "webhook_secret",
            "not set",
        ),
        ("warn_at = 101", "warn_at", "percentage"),
        ("webhoook = \"x\"", "webhoook", "did you mean `webhook`"),
    ] {
        let found = faults(&format!("[budget]\n{lines}\n"));
        assert!(
            found[0].contains(&format!("budget.{path}`")) && found[0].contains(why),
            "{found:?}"
        );
    }
}

#[test]
fn budgets_warn_at_eighty_percent_unless_they_say() {
    assert_eq!(load("").budget.warn_at(), Some(80));
    assert_eq!(load("[budget]\nwarn_at = 0\n").budget.warn_at(), None);
    let project = load("[[project]]\nname = \"a\"\nbudget = \"1/day\"\nwarn_at = 60\n");
    assert_eq!(project.projects[0].terms.warn_at, Some(60));
    let found = faults("[[project]]\nname = \"a\"\nbudget = \"1/day\"\nwarn_at = 0\n");
    assert!(found[0].contains("`project[0].warn_at`"), "{found:?}");
}
