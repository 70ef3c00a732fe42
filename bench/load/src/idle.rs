//! Connections that only are there: each asks once, so that the broker knows it as a client, and then stays silent.

use std::io::{Read, Write};
use std::time::Instant;

use serde_json::json;

use crate::control::Control;
use crate::failure::Result;

/// Opens them, prints one line when all are answered, and holds them until standard input ends.
pub fn hold(bootstrap: &str, connections: usize) -> Result<()> {
    let start = Instant::now();
    let mut held = Vec::with_capacity(connections);
    for _ in 0..connections {
        let mut control = Control::connect(bootstrap)?;
        control.ping()?;
        held.push(control);
    }
    let line = json!({ "connections": held.len(), "openSeconds": start.elapsed().as_secs_f64() });
    println!("{line}");
    std::io::stdout().flush()?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    // All must still be there: a broker that had closed some would have held fewer.
    for control in &mut held {
        control.ping()?;
    }
    Ok(())
}
