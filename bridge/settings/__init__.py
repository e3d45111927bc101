"""Settings files and sections: credentials.yml, endpoints.yml, environment variables."""
