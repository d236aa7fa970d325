use super::*;

/// Paths in the order of the file below, and the files that were read.
fn paths(file: &str, env: &[(&str, &str)]) -> Vec<PathBuf> {
    let text = format!(
        "[store]\nfolder = \"rows\"\n[tools]\ndata = \"tables\"\nschema = \"s.sql\"\nroots = [\"a\", \"/b\"]\n[log]\nfile = \"x.log\"\n\
         {PROVIDER}api_key = {{ file = \"key\" }}\n"
    );
    let vars = vars(env);
    let world = World {
        read: &|_| Ok("sk-x9m4\n".to_owned()),
        ..world(&vars)
    };
    let config = Config::load(Some(&Source::new(file, text)), &world).unwrap();
    let StoreUrl::Sqlite(database) = config.store.url else {
        panic!("{:?}", config.store.url);
    };
    let tools = config.tools;
    let own = [database, config.store.folder, tools.data];
    let more = tools.schema.into_iter().chain(tools.roots.unwrap());
    own.into_iter()
        .chain(more)
        .chain(config.log.file)
        .chain(config.files)
        .collect()
}

#[test]
fn relative_paths_of_a_file_begin_where_it_lies() {
    let all = |at: &str| {
        let names = ["rungs.db", "rows", "tables", "s.sql", "a"];
        let own = names.map(|name| Path::new(at).join(name)).to_vec();
        let rest = ["x.log", "key", "rungs.toml"].map(|name| Path::new(at).join(name));
        [own, vec!["/b".into()], rest.to_vec()].concat()
    };
    for at in ["", "/etc/rungs", "conf"] {
        let file = Path::new(at).join("rungs.toml");
        assert_eq!(paths(file.to_str().unwrap(), &[]), all(at));
    }
    let env = [("DATABASE_URL", "sqlite:other.db")];
    let found = paths("/etc/rungs/rungs.toml", &env);
    assert_eq!(found[0], Path::new("other.db"), "the environment's own");
    assert_eq!(found[1..], all("/etc/rungs")[1..]);
}
