//! The original's environment variables, as if the file had said so where it says nothing.
//!
//! Their names are common (`DATABASE_URL`, `LOG_LEVEL`) and may be meant for another program: what the file says wins.

use toml::{Table, Value};

use super::{World, error::Faults, log};

/// What the process is meant to be when it is started without a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Mode {
    /// The HTTP gateway.
    #[default]
    Api,
    /// The MCP server on standard input and output.
    Mcp,
}

/// How much goes to the log.
const LEVEL: &str = "LOG_LEVEL";

/// The variable that says it.
pub(crate) const MODE: &str = "MODE";

impl Mode {
    /// What `MODE` means; `None` for what is meant for another program, such as `production`.
    pub(crate) fn named(word: &str) -> Option<Self> {
        match &*word.trim().to_ascii_lowercase() {
            "" | "api" | "http" | "server" => Some(Self::Api),
            "mcp" | "stdio" => Some(Self::Mcp),
            _ => None,
        }
    }
}

/// A variable that is true or false.
pub(super) fn flag(world: &World<'_>, name: &str, faults: &mut Faults<'_>) -> Option<bool> {
    match world.var(name)?.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Some(true),
        "false" | "0" | "no" | "off" => Some(false),
        other => {
            faults.variable(name, format!("`{other}` is not one of true, false"));
            None
        }
    }
}

/// Lays the variables under the file's table.
pub(super) fn underlay(
    table: &mut Table,
    world: &World<'_>,
    faults: &mut Faults<'_>,
    warnings: &mut Vec<String>,
) {
    if let Some(word) = world.var(MODE)
        && Mode::named(word).is_none()
    {
        warnings.push(format!(
            "{MODE}={word} is ignored: it is not one of api, mcp"
        ));
    }
    let mut under = Under { table, faults };
    for (path, variable) in [
        ("routing.default_tier", "DEFAULT_LAYER"),
        ("routing.max_tier", "MAX_ESCALATION_LAYER"),
        ("budget.alert", "COST_ALERT_THRESHOLD"),
        ("log.file", "LOG_FILE"),
        ("store.url", "DATABASE_URL"),
        ("store.secret", "RUNGS_SECRET"),
    ] {
        if let Some(text) = world.var(variable) {
            under.put(path, variable, text);
        }
    }
    level(&mut under, world, warnings);
    if let Some(on) = flag(world, "ENABLE_AUTO_ESCALATE", under.faults) {
        under.put("routing.auto_escalate", "ENABLE_AUTO_ESCALATE", on);
    }
    if let Some(on) = flag(world, "ENABLE_CROSS_CHECK", under.faults) {
        let level = if on { "high" } else { "off" };
        under.put("routing.cross_check", "ENABLE_CROSS_CHECK", level);
    }
    listen(&mut under, world);
    cors(&mut under, world, warnings);
    tiers(&mut under, world);
    redis(&mut under, world);
}

struct Under<'t, 'f, 's> {
    table: &'t mut Table,
    faults: &'f mut Faults<'s>,
}

impl Under<'_, '_, '_> {
    /// Sets `section.key` unless the file does.
    fn put(&mut self, path: &'static str, variable: &'static str, value: impl Into<Value>) {
        let Some((section, key)) = path.split_once('.') else {
            return;
        };
        let section = self
            .table
            .entry(section)
            .or_insert_with(|| Value::Table(Table::new()));
        // A section that is no table is a fault of the file, found when it is read.
        if let Some(section) = section.as_table_mut()
            && !section.contains_key(key)
        {
            section.insert(key.to_owned(), value.into());
            self.faults.path_is_from(path, variable);
        }
    }
}

/// Other programs have other words for it, which are no reason not to start.
fn level(under: &mut Under<'_, '_, '_>, world: &World<'_>, warnings: &mut Vec<String>) {
    let Some(word) = world.var(LEVEL) else { return };
    let is_filter = word.contains(['=', '[', ':', ',']);
    match (is_filter, log::fault_in(word), log::level_like(word)) {
        (true, None, _) => under.put("log.level", LEVEL, word),
        (true, Some(why), _) => warnings.push(format!("{LEVEL}={word} is ignored: {why}")),
        (false, _, Some(level)) => under.put("log.level", LEVEL, level),
        (false, _, None) => {
            warnings.push(format!("{LEVEL}={word} is ignored: it is no level of ours"));
        }
    }
}

fn listen(under: &mut Under<'_, '_, '_>, world: &World<'_>) {
    let (host, port) = (world.var("API_HOST"), world.var("API_PORT"));
    let variable = match (host, port) {
        (None, None) => return,
        (_, Some(_)) => "API_PORT",
        (Some(_), None) => "API_HOST",
    };
    let host = host.unwrap_or("127.0.0.1");
    let port = port.unwrap_or("3000");
    let address = if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    };
    under.put("server.listen", variable, address);
}

/// `REDIS_URL`, or the parts of one.
fn redis(under: &mut Under<'_, '_, '_>, world: &World<'_>) {
    if let Some(url) = world.var("REDIS_URL") {
        under.put("store.redis", "REDIS_URL", url);
        return;
    }
    let Some(host) = world.var("REDIS_HOST") else {
        return;
    };
    let part = |variable, default| world.var(variable).unwrap_or(default);
    let (port, db) = (part("REDIS_PORT", "6379"), part("REDIS_DB", "0"));
    let login = match world.var("REDIS_PASSWORD") {
        Some(password) => format!(":{}@", percent_encoded(password)),
        None => String::new(),
    };
    let host = match host.contains(':') && !host.starts_with('[') {
        true => format!("[{host}]"),
        false => host.to_owned(),
    };
    under.put(
        "store.redis",
        "REDIS_HOST",
        format!("redis://{login}{host}:{port}/{db}"),
    );
}

/// A password as a URL spells it.
fn percent_encoded(password: &str) -> String {
    let mut text = String::new();
    for byte in password.bytes() {
        match byte.is_ascii_alphanumeric() {
            true => text.push(char::from(byte)),
            false => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

fn cors(under: &mut Under<'_, '_, '_>, world: &World<'_>, warnings: &mut Vec<String>) {
    let Some(origins) = world.var("API_CORS_ORIGIN") else {
        return;
    };
    if origins == "*" {
        warnings.push(
            "API_CORS_ORIGIN=* is ignored: any web page could spend your money; name the origins"
                .into(),
        );
        return;
    }
    let origins: Vec<Value> = origins.split(',').map(|o| o.trim().into()).collect();
    under.put("server.cors_origins", "API_CORS_ORIGIN", origins);
}

fn tiers(under: &mut Under<'_, '_, '_>, world: &World<'_>) {
    const VARIABLES: [(&str, &str); 4] = [
        ("L0", "LAYER_L0_ENABLED"),
        ("L1", "LAYER_L1_ENABLED"),
        ("L2", "LAYER_L2_ENABLED"),
        ("L3", "LAYER_L3_ENABLED"),
    ];
    let off: Vec<Value> = VARIABLES
        .into_iter()
        .filter(|(_, variable)| flag(world, variable, under.faults) == Some(false))
        .map(|(tier, _)| tier.into())
        .collect();
    if !off.is_empty() {
        under.put("routing.disabled_tiers", "LAYER_L*_ENABLED", off);
    }
}
