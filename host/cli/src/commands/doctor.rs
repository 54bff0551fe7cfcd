//! `samspel doctor`: everything a sync needs, one line each.

use std::io::{self, Write};

use samspel_operations::doctor::{Diagnosis, Finding, Status};

use crate::exit::{CliError, Exit};
use crate::output::Output;

/// Tells what was found.
pub fn tell(diagnosis: &Diagnosis, output: Output) -> Result<(), CliError> {
    output.result(diagnosis, |out| {
        diagnosis
            .findings
            .iter()
            .try_for_each(|found| write(out, found))
    })?;
    match diagnosis.status {
        Status::Fail => Err(CliError::Reported(Exit::Failure)),
        Status::Ok | Status::Warn => Ok(()),
    }
}

fn write(out: &mut dyn Write, found: &Finding) -> io::Result<()> {
    let status = match found.status {
        Status::Ok => "ok  ",
        Status::Warn => "warn",
        Status::Fail => "FAIL",
    };
    writeln!(out, "{status}  {:<24} {}", found.check, found.message)?;
    if let Some(remedy) = &found.remedy {
        writeln!(out, "      {:<24} remedy: {remedy}", "")?;
    }
    Ok(())
}
