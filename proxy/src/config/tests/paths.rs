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

/// What is wrong with a file that lies in `folder`, where these are in the working directory and in that of the file.
fn faults_at(folder: &str, text: &str, there: &[&str]) -> String {
    let vars = vars(&[("RUNGS_SECRET", &"x9m4".repeat(8))]);
    let world = World {
        find: &|path| {
            let is_there = there.iter().any(|known| Path::new(known) == path);
            is_there.then(|| Path::new("/work").join(path))
        },
        ..world(&vars)
    };
    let file = Path::new(folder).join("rungs.toml");
    let source = Source::new(file.to_str().unwrap(), text);
    Config::load(Some(&source), &world).map_or_else(|faults| faults.to_string(), |_| String::new())
}

#[test]
fn a_database_in_the_working_directory_is_not_left_behind_in_silence() {
    let shared = "[store]\nurl = \"postgres://db/rungs\"\n";
    for (text, name, whole) in [
        ("", "rungs.db", "\"sqlite:/work/rungs.db\""),
        (shared, "rungs.data", "\"/work/rungs.data\""),
    ] {
        let there = Path::new("conf").join(name);
        let there = there.to_str().unwrap();
        let told = faults_at("conf", text, &[name]);
        for words in [there, whole] {
            assert!(told.contains(words), "{words}: {told}");
        }
        assert_eq!(faults_at("conf", text, &[name, there]), "");
        assert_eq!(faults_at("conf", text, &[]), "");
        assert_eq!(faults_at("", text, &[name]), "");
    }
    let named = "[store]\nurl = \"sqlite:/work/rungs.db\"\n";
    assert_eq!(faults_at("conf", named, &["rungs.db"]), "");
}

#[test]
fn a_file_that_lies_elsewhere_opens_its_own_folder_only_by_its_whole_path() {
    let told = |folder: &str, root: &str| {
        faults_at(
            folder,
            &format!("[tools]\nroots = [\"src\", \"{root}\"]\n"),
            &[],
        )
    };
    for root in [".", "./", "..", "src/..", "src/../.."] {
        let told = told("/home/me", root);
        assert!(
            told.contains("`tools.roots`") && told.contains("/home/me"),
            "{root}: {told}"
        );
    }
    for root in ["src", "../src", "/home/me"] {
        assert_eq!(told("/home/me", root), "", "{root}");
    }
    for folder in ["", "."] {
        assert_eq!(told(folder, "."), "", "it is the working directory");
    }
}
