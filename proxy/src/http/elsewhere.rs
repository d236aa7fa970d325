//! Paths of other APIs, and of this one by a wrong base URL: what a client is told that looks for something there.

/// What there is instead of what a client of OpenAI, Anthropic or Ollama has asked for.
pub(super) fn instead_of(path: &str) -> Option<String> {
    let chat = "POST /v1/chat/completions";
    let said = |what: &str, instead: &str| Some(format!("{what} is not spoken here; {instead} is"));
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    match &parts[..] {
        ["v1", "responses", ..] => said("OpenAI's Responses API", chat),
        ["v1", "completions"] => said("the API of plain completions", chat),
        ["v1", "messages", ..] | ["messages"] => said("Anthropic's Messages API", chat),
        [
            "api",
            "chat" | "generate" | "tags" | "show" | "ps" | "version",
        ] => said("Ollama's own API", chat),
        ["api", "embed" | "embeddings"] => said("Ollama's own API", "POST /v1/embeddings"),
        ["chat", "completions"] | ["embeddings" | "completions" | "responses"] | ["models", ..] => {
            Some("the base URL ends in /v1".into())
        }
        ["v1", "v1", ..] => {
            Some("the base URL ends in one /v1, and the client adds another".into())
        }
        [
            "v1",
            "assistants" | "audio" | "batches" | "conversations" | "files" | "fine_tuning"
            | "images" | "moderations" | "realtime" | "threads" | "uploads" | "vector_stores"
            | "videos",
            ..,
        ] => Some(format!(
            "of OpenAI's API there are {chat}, POST /v1/embeddings and GET /v1/models"
        )),
        _ => None,
    }
}
