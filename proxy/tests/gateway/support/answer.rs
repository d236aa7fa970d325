use serde_json::Value;

use super::secrets::Secrets;

/// A response that was read to its end, or as far as it went.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    /// Fails as well if a gateway says what it must not.
    pub(crate) async fn read(response: reqwest::Response) -> Self {
        let url = response.url().clone();
        let answer = Self {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            text: response.text().await.unwrap(),
        };
        if let Some(secrets) = Secrets::of(url.authority()) {
            let place = format!("an answer of {}", url.path());
            secrets.must_not_be_in(&place, &format!("{:?}", answer.headers));
            secrets.must_not_be_in_words(&place, &answer.text);
        }
        answer
    }

    /// A header; empty if there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The text of the first choice.
    pub(crate) fn content(&self) -> String {
        let text = &self.json()["choices"][0]["message"]["content"];
        text.as_str()
            .unwrap_or_else(|| panic!("no text: {self:?}"))
            .to_owned()
    }

    /// The payloads of the events.
    pub(crate) fn events(&self) -> Vec<&str> {
        self.text
            .lines()
            .filter_map(|line| line.strip_prefix("data: "))
            .collect()
    }

    /// The text that the events of a stream add up to.
    pub(crate) fn streamed(&self) -> String {
        let events = self.events().into_iter().filter(|event| *event != "[DONE]");
        let events = events.map(|event| serde_json::from_str::<Value>(event).unwrap());
        events
            .filter_map(|event| Some(event["choices"][0]["delta"]["content"].as_str()?.to_owned()))
            .collect()
    }

    /// The facts in the last comment of a stream.
    pub(crate) fn last_words(&self) -> Value {
        let mut lines = self.text.lines().rev();
        let facts = lines.find_map(|line| line.strip_prefix(": rungs "));
        serde_json::from_str(facts.unwrap_or_else(|| panic!("no facts: {self:?}"))).unwrap()
    }

    /// The error, after a look at the envelope: every member that must be there is.
    pub(crate) fn error(&self) -> Value {
        assert_eq!(self.header("content-type"), "application/json", "{self:?}");
        let error = self.json()["error"].clone();
        for member in ["message", "type", "code", "request_id"] {
            assert!(
                error[member].as_str().is_some_and(|text| !text.is_empty()),
                "{member}: {self:?}"
            );
        }
        assert!(error.get("param").is_some(), "{self:?}");
        assert_eq!(error["request_id"], self.header("x-request-id"), "{self:?}");
        error
    }
}
