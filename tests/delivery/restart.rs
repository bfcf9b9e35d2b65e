//! What a start meets: projects that cannot be read, ports that others take, and the wish to stop before everything is up.

use std::fs;
use std::net::TcpListener;

use crate::process::eventually;
use crate::site::{PROJECT, Pipeline, Site};

const PLAIN: &str = "stages:\n  - {name: dev, deployment_strategy: direct, gate: none}\n";
/// Starts carts by a script that a test may tell to wait, or to hang.
const BY_SCRIPT: &str = "process: {command: [sh, FOLDER/start, \"{portcullis}\", \"{tag}\", \"127.0.0.1:{port}\", FOLDER], grace: 2s}";
const SCRIPT: &str = "if [ -e $4/hang ]; then exec sleep 1000; fi
if mv $4/wait $4/waits 2>/dev/null; then
  echo $3 > $4/address.new && mv $4/address.new $4/address
  while [ -e $4/waits ]; do sleep 0.05; done
fi
exec $1 carts --tag $2 --listen $3
";

fn live(pipeline: &Pipeline) {
    assert_eq!((pipeline.live(), pipeline.page("dev").0), (vec!["0.8.1".to_owned()], "v1".to_owned()));
}

#[test]
fn a_project_that_cannot_be_read_is_served_as_it_was_until_it_is_mended() {
    let site = Site::new(&[]);
    let pipeline = site.start();
    site.furnish(&pipeline, PLAIN, "strict", &[]);
    pipeline.delivered("0.8.1");
    live(&pipeline);
    let (projects, aside) = (site.state().join("projects"), site.state().join("aside"));
    let shipyard = projects.join(PROJECT).join("shipyard.yaml");
    pipeline.kill();

    fs::write(&shipyard, "stages: nothing").unwrap();
    let pipeline = site.start();
    live(&pipeline);
    pipeline.delivered("0.8.3");
    assert_eq!(pipeline.live(), ["0.8.3"], "what is known of it is enough to go on");
    pipeline.kill();

    fs::rename(&projects, &aside).unwrap();
    let pipeline = site.start();
    assert_eq!(pipeline.page("dev").0, "v3", "a disk that is missing takes nothing away");
    assert_eq!(site.deployed().len(), 1);
    pipeline.kill();

    fs::rename(&aside, &projects).unwrap();
    fs::write(&shipyard, PLAIN).unwrap();
    let pipeline = site.start();
    assert_eq!(pipeline.page("dev").0, "v3");
    pipeline.delivered("0.9.1");
    assert_eq!((pipeline.live(), pipeline.page("dev").0), (vec!["0.9.1".to_owned()], "v1".to_owned()));
    pipeline.end();
    assert_eq!(site.deployed(), []);
}

#[test]
fn a_port_that_another_program_takes_first_is_given_up_for_another_one() {
    let site = Site::with(BY_SCRIPT, &[]);
    site.write("start", SCRIPT);
    let pipeline = site.start();
    site.furnish(&pipeline, PLAIN, "strict", &[]);
    site.write("wait", "");
    let context = pipeline.deliver("0.8.1", false);
    let address = eventually("it is about to listen", || fs::read_to_string(site.path("address")).ok());
    let thief = TcpListener::bind(address.trim()).unwrap();
    fs::remove_file(site.path("waits")).unwrap();
    pipeline.idle();
    live(&pipeline);
    let logs = site.state().join("logs").join(PROJECT).join("dev");
    let said = fs::read_to_string(logs.join("carts-1.log")).unwrap();
    assert!(said.contains(address.trim()) && said.contains("cannot listen"), "the first one was in vain: {said}");
    assert_eq!(pipeline.story(&context).last().unwrap()["outcome"], "passed");
    drop(thief);
    pipeline.end();
}

#[test]
fn a_start_that_takes_its_time_ends_when_it_is_told_to_and_leaves_nothing_behind() {
    let site = Site::with(BY_SCRIPT, &[]);
    site.write("start", SCRIPT);
    let pipeline = site.start();
    site.furnish(&pipeline, PLAIN, "strict", &[]);
    pipeline.delivered("0.8.1");
    live(&pipeline);
    pipeline.end();
    assert_eq!(site.deployed(), []);

    // It will not answer, and a minute is allowed for that.
    site.write("hang", "");
    let running = site.launch();
    eventually("what was live is being started", || (site.deployed().len() == 1).then_some(()));
    assert_eq!(running.terminate(), Some(0));
    assert_eq!(site.deployed(), []);

    fs::remove_file(site.path("hang")).unwrap();
    let pipeline = site.start();
    live(&pipeline);
    pipeline.end();
}
