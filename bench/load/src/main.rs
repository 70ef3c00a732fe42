//! A load generator that costs little: batches are built once, one thread drives every connection.
//!
//! `millrace-load --help` lists what it does. It checks what it measures: every answer that is an error is counted and
//! printed, and at the end of a run the partitions must hold the records that were acknowledged and no others.

#[cfg(target_os = "linux")]
mod args;
#[cfg(target_os = "linux")]
mod batch;
#[cfg(target_os = "linux")]
mod connection;
#[cfg(target_os = "linux")]
mod consumer;
#[cfg(target_os = "linux")]
mod control;
#[cfg(target_os = "linux")]
mod error_codes;
#[cfg(target_os = "linux")]
mod failure;
#[cfg(target_os = "linux")]
mod idle;
#[cfg(target_os = "linux")]
mod process;
#[cfg(target_os = "linux")]
mod producer;
#[cfg(target_os = "linux")]
mod reactor;
#[cfg(target_os = "linux")]
mod report;
#[cfg(target_os = "linux")]
mod run;
#[cfg(target_os = "linux")]
mod schedule;
#[cfg(target_os = "linux")]
mod send_times;
#[cfg(target_os = "linux")]
mod wire;

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("millrace-load: only Linux has the epoll and /proc that this program measures with");
    std::process::exit(1);
}

#[cfg(target_os = "linux")]
fn main() {
    if let Err(failure) = run_command() {
        eprintln!("millrace-load: {failure}");
        std::process::exit(1);
    }
}

#[cfg(target_os = "linux")]
fn run_command() -> failure::Result<()> {
    use args::Command;

    process::allow_many_connections()?;
    match args::parse(lexopt::Parser::from_env())? {
        Command::Help => println!("{}", args::USAGE),
        Command::Run(options) => {
            let (line, result) = run::run(&options)?;
            println!("{line}");
            return result;
        }
        Command::Idle {
            bootstrap,
            connections,
        } => return idle::hold(&bootstrap, connections),
        Command::Create {
            bootstrap,
            topic,
            partitions,
            configs,
        } => {
            return control::Control::connect(&bootstrap)?
                .create_topic(&topic, partitions, &configs);
        }
        Command::Delete { bootstrap, topic } => {
            return control::Control::connect(&bootstrap)?.delete_topic(&topic);
        }
        Command::Count { bootstrap, topic } => {
            let records = control::Control::connect(&bootstrap)?.record_count(&topic)?;
            println!("{}", serde_json::json!({ "records": records }));
        }
    }
    Ok(())
}
