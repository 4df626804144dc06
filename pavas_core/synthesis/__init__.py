"""The modal engine: impacts to sound by physical modelling."""
