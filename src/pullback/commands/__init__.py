"""What the commands of `pullback` do that is no other room's subject: to begin a study, plan, run and show it."""
