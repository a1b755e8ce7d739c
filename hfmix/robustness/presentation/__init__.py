"""What a report and a comparison show as pictures, drawn from the reports alone."""
