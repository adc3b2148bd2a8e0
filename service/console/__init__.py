"""The console: one page, without data and without a build step, that shows an operator what the service does."""
