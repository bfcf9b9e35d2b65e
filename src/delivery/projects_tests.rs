//! Projects in Git work trees, made by the real program: what of them is read, and what is left to Git.
#![cfg(test)]

use std::process::Command;

use super::*;

const SHIPYARD_TEXT: &str = "stages:\n  - {name: dev, deployment_strategy: direct, gate: none}\n";

/// Runs Git in a folder, with nobody's settings but these; returns what it says.
fn git(folder: &Path, args: &[&str]) -> String {
    let mut command = Command::new("git");
    command.args(args).current_dir(folder).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.envs([("HOME", "/nonexistent"), ("GIT_CONFIG_NOSYSTEM", "1"), ("GIT_CONFIG_GLOBAL", "/dev/null")]);
    for who in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{who}_NAME"), "ann").env(format!("GIT_{who}_EMAIL"), "ann@example.org");
    }
    let ended = command.output().unwrap();
    assert!(ended.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&ended.stderr));
    String::from_utf8(ended.stdout).unwrap()
}

/// Says whether Git is there; where it must be and is not, the test fails.
fn is_there() -> bool {
    let there = Command::new("git").arg("--version").output().is_ok();
    let needed = std::env::var_os("PORTCULLIS_TEST_ALL").is_some_and(|value| value == "1");
    assert!(there || !needed, "git is missing; install the package git");
    if !there {
        println!("SKIP: git is not installed (Debian package git)");
    }
    there
}

/// A folder with a repository of a project, and the empty folder of the projects.
struct Yard {
    folder: tempfile::TempDir,
}

impl Yard {
    fn new() -> Self {
        let yard = Self { folder: tempfile::tempdir().unwrap() };
        let origin = yard.origin();
        fs::create_dir_all(origin.join("services/carts/jmeter")).unwrap();
        fs::create_dir_all(yard.projects_folder()).unwrap();
        fs::create_dir_all(yard.folder.path().join("state")).unwrap();
        fs::write(origin.join(SHIPYARD), SHIPYARD_TEXT).unwrap();
        fs::write(origin.join("services/carts/jmeter/load.jmx"), "committed").unwrap();
        git(&origin, &["init", "-q", "-b", "main"]);
        git(&origin, &["add", "."]);
        git(&origin, &["commit", "-q", "-m", "Begin"]);
        yard
    }

    fn origin(&self) -> PathBuf {
        self.folder.path().join("origin")
    }

    fn projects_folder(&self) -> PathBuf {
        self.folder.path().join("projects")
    }

    fn projects(&self) -> Projects {
        Projects::new(self.projects_folder(), &self.folder.path().join("state")).unwrap()
    }

    /// Returns what the carts service finds in dev under this name.
    fn found(&self, uri: &str) -> Option<String> {
        let spot = Spot { project: "sockshop".parse().unwrap(), service: "carts".parse().unwrap(), stage: "dev".parse().unwrap() };
        self.projects().find(&spot, uri).map(|path| fs::read_to_string(path).unwrap())
    }

    fn add(&self, uri: &str) -> Result<(), String> {
        let (project, service) = ("sockshop".parse().unwrap(), "carts".parse().unwrap());
        let own = Target { project: &project, stage: None, service: None };
        let of_service = Target { service: Some(&service), ..own };
        self.projects().add(own, uri, b"put there").and_then(|()| self.projects().add(of_service, uri, b"put there"))
    }
}

#[test]
fn what_is_read_of_a_work_tree_is_what_lies_in_it_committed_or_not() {
    if !is_there() {
        return;
    }
    for linked in [false, true] {
        let yard = Yard::new();
        let (tree, place) = (yard.projects_folder().join("sockshop"), yard.projects_folder().join("sockshop").display().to_string());
        if linked {
            git(&yard.origin(), &["worktree", "add", "-q", "-b", "live", &place]);
        } else {
            git(&yard.origin(), &["clone", "-q", ".", &place]);
        }
        assert_eq!(tree.join(GIT).is_file(), linked);
        let (all, problems) = yard.projects().all();
        assert_eq!((all.len(), problems), (1, Vec::new()));
        assert_eq!((all[0].name.as_str(), all[0].services.len(), all[0].shipyard.stages().len()), ("sockshop", 1, 1));
        assert_eq!(yard.found("jmeter/load.jmx").as_deref(), Some("committed"));

        // Changed, and in no index and no commit.
        fs::write(tree.join("services/carts/jmeter/load.jmx"), "changed").unwrap();
        assert_eq!(yard.found("jmeter/load.jmx").as_deref(), Some("changed"));
        fs::create_dir_all(tree.join("stages/dev/services/carts/jmeter")).unwrap();
        fs::write(tree.join("stages/dev/services/carts/jmeter/load.jmx"), "untracked").unwrap();
        assert_eq!(yard.found("jmeter/load.jmx").as_deref(), Some("untracked"));
        let two = format!("{SHIPYARD_TEXT}  - {{name: staging, deployment_strategy: direct, gate: none}}\n");
        fs::write(tree.join(SHIPYARD), &two).unwrap();
        assert_eq!(yard.projects().all().0[0].shipyard.stages().len(), 2);
        git(&tree, &["stash", "push", "-q", "--include-untracked"]);
        assert_eq!(yard.found("jmeter/load.jmx").as_deref(), Some("committed"));
        assert_eq!(yard.projects().all().0[0].shipyard.stages().len(), 1);

        // A commit that is checked out nowhere here is not read.
        fs::write(yard.origin().join("services/carts/jmeter/load.jmx"), "later").unwrap();
        git(&yard.origin(), &["commit", "-q", "-a", "-m", "Go on"]);
        assert_eq!(yard.found("jmeter/load.jmx").as_deref(), Some("committed"));

        // What a merge leaves undecided is an error with its place; the project goes on as it was.
        fs::write(tree.join(SHIPYARD), format!("<<<<<<< HEAD\n{SHIPYARD_TEXT}=======\n{two}>>>>>>> main\n")).unwrap();
        let (all, problems) = yard.projects().all();
        assert_eq!(all[0].shipyard.stages().len(), 1);
        assert!(problems.len() == 1 && problems[0].contains("shipyard.yaml:"), "{problems:?}");
    }
}

#[test]
fn what_belongs_to_git_is_neither_written_nor_read() {
    if !is_there() {
        return;
    }
    for linked in [false, true] {
        let yard = Yard::new();
        let tree = yard.projects_folder().join("sockshop");
        let how: &[&str] = if linked { &["worktree", "add", "-q", "-b", "live"] } else { &["clone", "-q", "."] };
        git(&yard.origin(), &[how, &[tree.to_str().unwrap()]].concat());
        for uri in [".git", ".git/hooks/post-checkout", ".git/config", "jmeter/.GIT/config", ".Git"] {
            let refused = yard.add(uri).unwrap_err();
            assert!(refused.contains("belongs to Git"), "{uri}: {refused}");
        }
        assert_eq!(git(&tree, &["status", "--porcelain"]), "", "nothing was written");
        yard.add("notes/plan.txt").unwrap();
        let new = git(&tree, &["status", "--porcelain", "-uall"]);
        assert_eq!(new, "?? notes/plan.txt\n?? services/carts/notes/plan.txt\n", "what is added is a file like any other");
        let outside = yard.origin().join(SHIPYARD);
        for uri in [outside.to_str().unwrap(), "../../../../origin/shipyard.yaml", "../../.git", ".."] {
            assert_eq!(yard.found(uri), None, "{uri}");
        }
    }
}

#[test]
fn a_bare_repository_is_no_project_and_that_is_said() {
    if !is_there() {
        return;
    }
    let yard = Yard::new();
    let bare = |name: &str| {
        let path = yard.projects_folder().join(name).display().to_string();
        git(&yard.origin(), &["clone", "-q", "--bare", ".", &path]);
        path
    };
    let paths = [bare("sockshop"), bare("sockshop.git")];
    fs::create_dir_all(yard.projects_folder().join("Sock_Shop")).unwrap();
    fs::write(yard.projects_folder().join("Sock_Shop").join(SHIPYARD), SHIPYARD_TEXT).unwrap();
    fs::create_dir_all(yard.projects_folder().join(".cache")).unwrap();
    let (all, problems) = yard.projects().all();
    assert!(all.is_empty());
    assert_eq!(problems.len(), 3, "{problems:#?}");
    for (path, about) in [(paths[0].as_str(), "bare Git repository"), (paths[1].as_str(), "bare Git repository"), ("Sock_Shop", "no name")]
    {
        let told = problems.iter().any(|problem| problem.contains(path) && problem.contains(about));
        assert!(told, "{path}: {problems:#?}");
    }
    // Beside it a work tree of it is one.
    let tree = yard.projects_folder().join("shop").display().to_string();
    git(&yard.projects_folder(), &["clone", "-q", &paths[1], &tree]);
    assert_eq!(yard.projects().all().0.len(), 1);
}
