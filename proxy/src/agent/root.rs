use std::path::{Path, PathBuf};

use rungs::{Error, ErrorKind};

/// The folder of a project that somebody names from afar: one of the configured roots, or a folder below one; the first root if they
/// name none.
///
/// # Errors
/// [`ErrorKind::NotFound`] for everything else, whether it exists or not.
pub(super) fn resolve(roots: &[PathBuf], wanted: Option<&str>) -> Result<PathBuf, Error> {
    let none = || {
        Error::new(
            ErrorKind::NotFound,
            "there is no such folder below the configured `tools.roots`",
        )
        .param("root")
    };
    let wanted = Path::new(wanted.unwrap_or("."));
    let mut found = roots.iter().filter_map(|root| {
        let root = root.canonicalize().ok()?;
        // What links lead out of a root is not below it.
        let folder = root.join(wanted).canonicalize().ok()?;
        (folder.starts_with(&root) && folder.is_dir()).then_some(folder)
    });
    found.next().ok_or_else(none)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r21_a_root_is_not_left() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().canonicalize().unwrap();
        for name in ["a/shop/src", "a-twin", "b"] {
            std::fs::create_dir_all(base.join(name)).unwrap();
        }
        std::fs::write(base.join("a/file"), "").unwrap();
        std::os::unix::fs::symlink(&base, base.join("a/out")).unwrap();
        let roots = ["a", "b"].map(|name| base.join(name));
        let text = |path: &str| base.join(path).to_str().unwrap().to_owned();
        for (wanted, is) in [
            (None, "a"),
            (Some("."), "a"),
            (Some("shop"), "a/shop"),
            (Some("shop/../shop/src"), "a/shop/src"),
            (Some(&*text("b")), "b"),
        ] {
            assert_eq!(
                resolve(&roots, wanted).unwrap(),
                base.join(is),
                "{wanted:?}"
            );
        }
        for wanted in [
            "..",
            "shop/../..",
            "out",
            "out/b",
            "../a-twin",
            "file",
            "none",
            "/",
            "/etc",
            &text("a-twin"),
        ] {
            let error = resolve(&roots, Some(wanted)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotFound, "{wanted}");
        }
    }
}
