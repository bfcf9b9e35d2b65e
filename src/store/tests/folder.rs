//! The folder belongs to one process and one user, and every refusal says how to mend it.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;
use crate::store::{StoreError, Stored, Warning};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn refused(folder: &Path) -> String {
    Store::<Record, Entry>::open(folder).unwrap_err().to_string()
}

#[test]
fn folder_and_files_are_for_this_user_only() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("a/b");
    drop(open_quietly(&folder));
    assert_eq!(mode(&folder), 0o700);
    assert_eq!(mode(&folder.join("state.redb")), 0o600);
    assert_eq!(mode(&folder.join("lock")), 0o600);
}

#[test]
fn a_folder_changes_hands_and_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let first = open_quietly(folder.path());
    first.put(&carts(), &record(1), &entry(1)).unwrap();
    first.release();
    let error = first.put(&carts(), &record(2), &entry(2)).unwrap_err().to_string();
    assert!(error.contains("handed over"), "{error}");
    let second = open_quietly(folder.path());
    assert_eq!(second.record(&carts()).unwrap(), Some(Stored::Known(record(1))));
    second.put(&carts(), &record(3), &entry(3)).unwrap();
    assert!(matches!(first.reclaim().unwrap_err(), StoreError::InUse { .. }));
    first.record(&carts()).unwrap_err();
    drop(second);
    first.reclaim().unwrap();
    assert_eq!(first.record(&carts()).unwrap(), Some(Stored::Known(record(3))), "what the other one has decided counts");
    first.reclaim().unwrap();
    first.put(&carts(), &record(4), &entry(4)).unwrap();
}

#[test]
fn a_second_process_is_refused_while_the_first_lives() {
    let folder = tempfile::tempdir().unwrap();
    let first = open_quietly(folder.path());
    let error = Store::<Record, Entry>::open(folder.path()).unwrap_err();
    assert!(matches!(error, StoreError::InUse { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains(folder.path().to_str().unwrap()) && text.contains("--state"), "{text}");
    first.put(&carts(), &record(1), &entry(1)).unwrap();
    drop(first);
    assert_eq!(open_quietly(folder.path()).record(&carts()).unwrap(), Some(Stored::Known(record(1))));
}

/// Starts a process that has the lock of a file for a moment, as a copy of the descriptor that this process has locked it by.
fn heir(file: &Path) -> std::process::Child {
    let locked = fs::File::options().read(true).write(true).open(file).unwrap();
    locked.try_lock().unwrap();
    std::process::Command::new("sleep").arg("0.3").stdin(locked).spawn().unwrap()
}

#[test]
fn what_a_child_of_a_killed_process_has_for_a_moment_is_waited_for() {
    for name in ["lock", "state.redb"] {
        let folder = tempfile::tempdir().unwrap();
        open_quietly(folder.path()).put(&carts(), &record(1), &entry(1)).unwrap();
        let mut child = heir(&folder.path().join(name));
        assert_eq!(open_quietly(folder.path()).record(&carts()).unwrap(), Some(Stored::Known(record(1))), "{name}");
        child.wait().unwrap();
    }
}

#[test]
fn a_folder_that_cannot_be_made_is_a_clear_error() {
    let parent = tempfile::tempdir().unwrap();
    let file = parent.path().join("file");
    fs::write(&file, "x").unwrap();
    for folder in [file.join("state"), file.clone()] {
        let text = refused(&folder);
        assert!(text.contains(folder.to_str().unwrap()) && text.contains("--state"), "{text}");
    }
    assert_eq!(fs::read_to_string(file).unwrap(), "x");
}

#[test]
fn links_and_folders_in_place_of_the_files_are_refused_and_left_alone() {
    for name in ["state.redb", "state.redb.new", "lock"] {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("state");
        let target = parent.path().join("target");
        fs::create_dir(&folder).unwrap();
        fs::write(&target, "precious").unwrap();
        symlink(&target, folder.join(name)).unwrap();
        let text = refused(&folder);
        assert!(text.contains(name) && text.contains("not a plain file"), "{text}");
        assert_eq!(fs::read_to_string(&target).unwrap(), "precious");

        fs::remove_file(folder.join(name)).unwrap();
        symlink(parent.path().join("missing"), folder.join(name)).unwrap();
        assert!(refused(&folder).contains("not a plain file"));
        assert!(!parent.path().join("missing").exists());

        fs::remove_file(folder.join(name)).unwrap();
        fs::create_dir(folder.join(name)).unwrap();
        assert!(refused(&folder).contains("not a plain file"));
    }
}

#[test]
fn a_folder_behind_a_link_is_used() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("private");
    fs::create_dir(&folder).unwrap();
    symlink(&folder, parent.path().join("public")).unwrap();
    open_quietly(&parent.path().join("public")).put(&carts(), &record(1), &entry(1)).unwrap();
    assert_eq!(open_quietly(&folder).record(&carts()).unwrap(), Some(Stored::Known(record(1))));
}

#[test]
fn a_state_file_that_everybody_may_write_is_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    drop(open_quietly(folder.path()));
    let file = folder.path().join("state.redb");
    fs::set_permissions(&file, Permissions::from_mode(0o666)).unwrap();
    let text = refused(folder.path());
    assert!(text.contains("chmod o-w"), "{text}");
    fs::set_permissions(&file, Permissions::from_mode(0o660)).unwrap();
    drop(open_quietly(folder.path()));
}

#[test]
fn a_folder_that_everybody_may_write_is_worth_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
    let warnings = open(folder.path()).warnings;
    assert_eq!(warnings, [Warning::ExposedFolder { folder: folder.path().to_owned() }]);
    fs::set_permissions(folder.path(), Permissions::from_mode(0o1777)).unwrap();
    drop(open_quietly(folder.path()));
}
