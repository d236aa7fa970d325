use serde_json::{Map, Value};

/// How many places of an answer are tried as the start of a verdict; reviewers that think aloud write many braces.
const MAX_STARTS: usize = 256;
const MAX_ISSUES: usize = 8;
const MAX_ISSUE_CHARS: usize = 300;

/// What a reviewer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Review {
    pub(super) agree: bool,
    /// In percent.
    pub(super) confidence: u8,
    pub(super) issues: Vec<String>,
}

impl Review {
    /// Reads a verdict leniently: the last JSON object with a readable `agree`, wherever it stands, however it spells
    /// `true` and 90 %.
    pub(super) fn read(text: &str) -> Option<Self> {
        let mut last = None;
        let mut at = 0;
        for _ in 0..MAX_STARTS {
            let Some(found) = text[at..].find('{') else {
                break;
            };
            at += found;
            let mut objects = serde_json::Deserializer::from_str(&text[at..]).into_iter();
            match objects.next() {
                Some(Ok(Value::Object(object))) => {
                    last = Self::of(&object).or(last);
                    at += objects.byte_offset();
                }
                _ => at += 1,
            }
        }
        last
    }

    fn of(object: &Map<String, Value>) -> Option<Self> {
        let issues = match object.get("issues") {
            Some(Value::Array(all)) => all.iter().filter_map(issue).take(MAX_ISSUES).collect(),
            Some(one) => issue(one).into_iter().collect(),
            None => Vec::new(),
        };
        Some(Self {
            agree: truth(object.get("agree")?)?,
            confidence: object.get("confidence").and_then(percent).unwrap_or(50),
            issues,
        })
    }
}

fn truth(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(truth) => Some(*truth),
        Value::String(text) => match text.trim().to_ascii_lowercase().as_str() {
            "true" | "yes" => Some(true),
            "false" | "no" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

/// Whole numbers are percents, fractions up to one are probabilities.
fn percent(value: &Value) -> Option<u8> {
    let figure = match value {
        Value::Number(number) => {
            let figure = number.as_f64()?;
            if number.is_f64() && figure <= 1.0 {
                figure * 100.0
            } else {
                figure
            }
        }
        Value::String(text) => text.trim().trim_end_matches('%').trim_end().parse().ok()?,
        _ => return None,
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to a percentage"
    )]
    figure
        .is_finite()
        .then(|| figure.round().clamp(0.0, 100.0) as u8)
}

/// One line of bounded length.
fn issue(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Object(_) => value.to_string(),
        _ => return None,
    };
    let line: Vec<_> = text.split_whitespace().collect();
    let line: String = line.join(" ").chars().take(MAX_ISSUE_CHARS).collect();
    (!line.is_empty()).then_some(line)
}
