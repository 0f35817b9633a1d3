"""Results as pages and files: HTML, JUnit XML, the terminal. Nothing is judged here."""
