//! A root among other things, and all ways out of it that we know.

use std::{os::unix::fs::symlink, path::PathBuf};

use super::Folder;
use crate::sandbox::{Protected, Reach, Roots};

pub(super) const SECRET: &str = "the secret outside";

/// A root with files and links, beside a folder that nobody may see.
pub(super) struct World {
    pub(super) folder: Folder,
}

impl World {
    pub(super) fn new() -> Self {
        let folder = Folder::new();
        folder.write("root/file.txt", "inside");
        folder.write("root/folder/deep.txt", "inside");
        folder.write("outside/secret.txt", SECRET);
        folder.write("root-twin/secret.txt", SECRET);
        folder.write("secret.txt", SECRET);
        let (root, outside) = (folder.path().join("root"), folder.path().join("outside"));
        for (link, target) in [
            ("to-file", outside.join("secret.txt")),
            ("to-folder", outside.clone()),
            ("relative", "../outside".into()),
            ("relative-file", "../secret.txt".into()),
            ("folder/up", "../../outside".into()),
            ("to-slash", "/".into()),
            ("to-proc", "/proc/self/root".into()),
            ("to-cwd", "/proc/self/cwd".into()),
            ("to-fd", "/proc/self/fd".into()),
            ("chain", "chain-2".into()),
            ("chain-2", outside.join("secret.txt")),
            ("loop", "loop".into()),
            ("inner", "folder".into()),
            ("twin", "../root-twin".into()),
        ] {
            symlink(target, root.join(link)).unwrap();
        }
        Self { folder }
    }

    pub(super) fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    pub(super) fn roots(&self) -> Roots {
        Roots::open(&[self.root()], Protected::default(), Reach::Change).unwrap()
    }

    /// All ways out that we know: each prefix and link, in front of each target, in several spellings.
    pub(super) fn escapes(&self) -> Vec<String> {
        let base = self.folder.path().display().to_string();
        let up = [
            "..",
            "folder/../..",
            "./..",
            "folder/./../../",
            "file.txt/../..",
            "../root/..",
            "..//",
            "none/../..",
        ];
        let links = [
            "to-folder",
            "relative",
            "folder/up",
            "twin",
            "./to-folder",
            "folder/../to-folder",
            "to-folder/.",
            "relative/../outside",
            "inner/up",
        ];
        let targets = ["outside/secret.txt", "root-twin/secret.txt", "secret.txt"];
        let mut all = Vec::new();
        for up in up {
            all.extend(targets.iter().map(|target| format!("{up}/{target}")));
            let deep = "../".repeat(20);
            all.extend(
                targets
                    .iter()
                    .map(|target| format!("{up}/{deep}{base}/{target}")),
            );
        }
        for link in links {
            all.push(format!("{link}/secret.txt"));
            all.push(format!("{link}//secret.txt"));
            all.push(format!("{link}/./secret.txt"));
            all.push(format!("{link}/x/../secret.txt"));
        }
        for way in [
            "to-slash", "to-proc", "to-cwd", "to-fd/0", "to-fd/3", "to-fd/9",
        ] {
            all.push(format!("{way}{base}/secret.txt"));
            all.push(format!("{way}/etc/passwd"));
            all.push(format!("{way}/proc/self/environ"));
        }
        for file in [
            "to-file",
            "relative-file",
            "chain",
            "chain-2",
            "loop",
            "folder/../to-file",
        ] {
            all.push(file.into());
            all.push(format!("{file}/"));
            all.push(format!("./{file}"));
        }
        for absolute in [
            "/etc/passwd",
            "//etc/passwd",
            "/proc/self/environ",
            "/proc/self/cmdline",
            "/dev/zero",
            "/dev/stdin",
            "/sys/kernel/uevent_seqnum",
        ] {
            all.push(absolute.into());
            all.push(format!("file:{absolute}"));
            all.push(format!("~{absolute}"));
            all.push(format!("C:{absolute}"));
            all.push(format!("\\\\?\\{absolute}"));
        }
        all.extend(targets.iter().map(|target| format!("{base}/{target}")));
        for dots in [
            "%2e%2e",
            "%2E%2E",
            "..%2f",
            "..%5c",
            "%252e%252e",
            "..;",
            "....",
            "..\u{2215}",
            "..\u{ff0f}",
            "\u{ff0e}\u{ff0e}",
            "\u{2024}\u{2024}",
            "%c0%ae%c0%ae",
            "..%00",
            "..\0",
            "..\\",
            "..\\..\\",
            "\u{202e}..",
            "..\u{200b}",
            "\u{feff}..",
            ". .",
            ".. ",
            " ..",
            "..\t",
            "..\n",
            "..\r",
        ] {
            all.extend(targets.iter().map(|target| format!("{dots}/{target}")));
            all.push(format!("folder/{dots}/{dots}/secret.txt"));
        }
        all.push("a/".repeat(3000) + "../secret.txt");
        all.push("../".repeat(1000) + "etc/passwd");
        all.push("x".repeat(5000));
        all.push("folder\0/../../secret.txt".into());
        all.push("file.txt\0.png".into());
        all
    }
}
