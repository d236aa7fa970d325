use std::{fs, path::Path};

/// R8, for every gateway of every test: what its configuration and its clients know as secret stands in nothing that it wrote.
pub(crate) fn must_not_be_found(folder: &Path, log: &str, bearer: Option<&str>) {
    let config = fs::read_to_string(folder.join("rungs.toml")).unwrap_or_default();
    let secrets: Vec<&str> = of_config(&config).chain(bearer).collect();
    let mut places = vec![("log".to_owned(), log.as_bytes().to_vec())];
    read_all(folder, &mut places);
    for (place, bytes) in &places {
        let text = String::from_utf8_lossy(bytes);
        for secret in secrets.iter().filter(|secret| secret.len() >= 8) {
            assert!(!text.contains(secret), "{secret} in {place}");
        }
    }
}

/// The values of `key` and `api_key`.
fn of_config(config: &str) -> impl Iterator<Item = &str> {
    config.lines().filter_map(|line| {
        let (name, value) = line.split_once('=')?;
        let is_secret = matches!(name.trim(), "key" | "api_key");
        is_secret.then(|| value.trim().trim_matches('"'))
    })
}

/// The files that a gateway wrote, in a folder and the folders in it; its configuration it did not, and the token of MCP clients is
/// where it belongs.
pub(crate) fn read_all(folder: &Path, places: &mut Vec<(String, Vec<u8>)>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        match path.is_dir() {
            true => read_all(&path, places),
            false if path.ends_with("rungs.toml") || path.ends_with("rungs.db.mcp-token") => {}
            false => places.push((
                path.display().to_string(),
                fs::read(&path).unwrap_or_default(),
            )),
        }
    }
}
