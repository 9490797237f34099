CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL,
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
CREATE TABLE actions (
	action_id INTEGER NOT NULL,
	kind VARCHAR NOT NULL,
	subject_id VARCHAR NOT NULL,
	account_id VARCHAR,
	action VARCHAR NOT NULL,
	taken_by VARCHAR,
	taken_at DATETIME NOT NULL,
	details JSON,
	PRIMARY KEY (action_id)
);
CREATE TABLE alerts (
	alert_id VARCHAR NOT NULL,
	dedupe_key VARCHAR NOT NULL,
	rule VARCHAR NOT NULL,
	severity VARCHAR NOT NULL,
	title VARCHAR NOT NULL,
	reasons JSON NOT NULL,
	kind VARCHAR,
	subject_id VARCHAR,
	account_id VARCHAR,
	segment VARCHAR,
	value FLOAT,
	threshold FLOAT,
	owner VARCHAR,
	state VARCHAR NOT NULL,
	opened_at DATETIME NOT NULL,
	last_seen_at DATETIME NOT NULL,
	acknowledged_at DATETIME,
	acknowledged_by VARCHAR,
	closed_at DATETIME,
	closed_by VARCHAR,
	closed_because VARCHAR, topics JSON,
	PRIMARY KEY (alert_id)
);
CREATE UNIQUE INDEX alert_open_once ON alerts (dedupe_key) WHERE state != 'closed';
CREATE TABLE api_keys (
	prefix VARCHAR NOT NULL,
	sha256 VARCHAR NOT NULL,
	role VARCHAR NOT NULL,
	label VARCHAR,
	owner_id VARCHAR,
	region VARCHAR,
	created_at DATETIME NOT NULL,
	revoked_at DATETIME,
	PRIMARY KEY (prefix),
	UNIQUE (sha256)
);
CREATE TABLE audit (
	audit_id INTEGER NOT NULL,
	at DATETIME NOT NULL,
	actor VARCHAR NOT NULL,
	action VARCHAR NOT NULL,
	subject VARCHAR,
	details JSON,
	PRIMARY KEY (audit_id)
);
CREATE TABLE events (
	event_id INTEGER NOT NULL,
	crm_table VARCHAR NOT NULL,
	row_id VARCHAR NOT NULL,
	account_id VARCHAR,
	payload JSON NOT NULL,
	received_at DATETIME NOT NULL,
	PRIMARY KEY (event_id),
	CONSTRAINT event_once UNIQUE (crm_table, row_id)
);
CREATE INDEX event_by_account ON events (account_id);
CREATE TABLE feature_batches (
	kind VARCHAR NOT NULL,
	run_id VARCHAR NOT NULL,
	model_version VARCHAR NOT NULL,
	first_as_of DATETIME,
	last_as_of DATETIME,
	logged_at DATETIME NOT NULL,
	rows INTEGER NOT NULL,
	arrow_zstd BLOB NOT NULL,
	PRIMARY KEY (kind, run_id)
);
CREATE TABLE outcomes (
	kind VARCHAR NOT NULL,
	subject_id VARCHAR NOT NULL,
	account_id VARCHAR,
	outcome INTEGER NOT NULL,
	decided_at DATETIME,
	recorded_at DATETIME NOT NULL,
	PRIMARY KEY (kind, subject_id)
);
CREATE TABLE overrides (
	override_id INTEGER NOT NULL,
	kind VARCHAR NOT NULL,
	subject_id VARCHAR NOT NULL,
	account_id VARCHAR,
	probability FLOAT,
	reason VARCHAR,
	made_by VARCHAR,
	made_at DATETIME NOT NULL,
	PRIMARY KEY (override_id)
);
CREATE TABLE prediction_log (
	prediction_id INTEGER NOT NULL,
	kind VARCHAR NOT NULL,
	subject_id VARCHAR NOT NULL,
	account_id VARCHAR,
	contract_id VARCHAR,
	opportunity_id VARCHAR,
	owner_id VARCHAR,
	region VARCHAR,
	as_of DATETIME,
	as_of_key VARCHAR NOT NULL,
	lead_days FLOAT,
	end_date DATETIME,
	probability FLOAT,
	low FLOAT,
	high FLOAT,
	band VARCHAR,
	amount FLOAT,
	at_risk FLOAT,
	expected FLOAT,
	model_version VARCHAR NOT NULL,
	run_id VARCHAR NOT NULL,
	scored_at DATETIME NOT NULL,
	held_out BOOLEAN,
	problem VARCHAR, forecast FLOAT,
	PRIMARY KEY (prediction_id),
	CONSTRAINT prediction_once UNIQUE (kind, subject_id, as_of_key, model_version)
);
CREATE INDEX prediction_by_account ON prediction_log (account_id);
CREATE INDEX prediction_by_as_of ON prediction_log (kind, as_of);
CREATE TABLE runs (
	run_id VARCHAR NOT NULL,
	what VARCHAR NOT NULL,
	kind VARCHAR,
	finished_at DATETIME NOT NULL,
	summary JSON,
	PRIMARY KEY (run_id)
);
CREATE TABLE scores (
	kind VARCHAR NOT NULL,
	subject_id VARCHAR NOT NULL,
	account_id VARCHAR,
	contract_id VARCHAR,
	opportunity_id VARCHAR,
	owner_id VARCHAR,
	region VARCHAR,
	as_of DATETIME,
	as_of_key VARCHAR NOT NULL,
	lead_days FLOAT,
	end_date DATETIME,
	probability FLOAT,
	low FLOAT,
	high FLOAT,
	band VARCHAR,
	amount FLOAT,
	at_risk FLOAT,
	expected FLOAT,
	model_version VARCHAR NOT NULL,
	run_id VARCHAR NOT NULL,
	scored_at DATETIME NOT NULL,
	held_out BOOLEAN,
	problem VARCHAR,
	reasons JSON,
	details JSON,
	rank_value FLOAT NOT NULL,
	previous_probability FLOAT,
	previous_as_of DATETIME,
	gone_at DATETIME,
	PRIMARY KEY (kind, subject_id)
);
CREATE INDEX scores_by_account ON scores (account_id);
CREATE INDEX scores_by_rank ON scores (kind, rank_value DESC, subject_id);
CREATE TABLE alert_sends (
	alert_id VARCHAR NOT NULL,
	channel VARCHAR NOT NULL,
	state VARCHAR NOT NULL,
	attempts INTEGER NOT NULL,
	claimed_at DATETIME,
	sent_at DATETIME,
	error VARCHAR, round INTEGER DEFAULT '0' NOT NULL,
	PRIMARY KEY (alert_id, channel),
	FOREIGN KEY(alert_id) REFERENCES alerts (alert_id) ON DELETE CASCADE
);
CREATE TABLE shadow_log (
	kind VARCHAR NOT NULL,
	subject_id VARCHAR NOT NULL,
	as_of_key VARCHAR NOT NULL,
	model_version VARCHAR NOT NULL,
	account_id VARCHAR,
	as_of DATETIME,
	probability FLOAT NOT NULL,
	run_id VARCHAR NOT NULL,
	scored_at DATETIME NOT NULL,
	PRIMARY KEY (kind, subject_id, as_of_key, model_version)
);
CREATE INDEX shadow_by_account ON shadow_log (account_id);
CREATE TABLE ended_sessions (
	session_sha256 VARCHAR NOT NULL,
	until DATETIME NOT NULL,
	PRIMARY KEY (session_sha256)
);
CREATE VIEW v_renewals AS SELECT subject_id AS contract_id, account_id, json_extract(details, '$.account_name') AS account_name, owner_id, json_extract(details, '$.owner_name') AS owner_name, region, json_extract(details, '$.product') AS product, end_date, as_of, CASE WHEN held_out THEN NULL ELSE probability END AS probability, CASE WHEN held_out THEN NULL ELSE low END AS low, CASE WHEN held_out THEN NULL ELSE high END AS high, CASE WHEN held_out THEN NULL ELSE band END AS band, amount, CASE WHEN held_out THEN NULL ELSE at_risk END AS at_risk, CASE WHEN held_out THEN NULL ELSE json_extract(reasons, '$[0].words') END AS reason_1, CASE WHEN held_out THEN NULL ELSE json_extract(reasons, '$[1].words') END AS reason_2, CASE WHEN held_out THEN NULL ELSE json_extract(reasons, '$[2].words') END AS reason_3, model_version, json_extract(details, '$.alias') AS alias, CASE WHEN held_out THEN 'held out: one of the customers left unscored, so that the model can be judged on them later' ELSE problem END AS problem, CASE WHEN held_out THEN NULL ELSE previous_probability END AS previous_probability, previous_as_of, scored_at FROM scores WHERE kind = 'renewal' AND gone_at IS NULL;
CREATE VIEW v_pipeline AS SELECT subject_id AS opportunity_id, account_id, json_extract(details, '$.account_name') AS account_name, owner_id, json_extract(details, '$.owner_name') AS owner_name, region, json_extract(details, '$.deal_kind') AS deal_kind, replace(json_extract(details, '$.created_at'), 'T', ' ') AS created_at, as_of, CASE WHEN held_out THEN NULL ELSE probability END AS probability, CASE WHEN held_out THEN NULL ELSE low END AS low, CASE WHEN held_out THEN NULL ELSE high END AS high, CASE WHEN held_out THEN NULL ELSE band END AS band, amount, CASE WHEN held_out THEN NULL ELSE expected END AS expected, json_extract(details, '$.forecast') AS forecast, CASE WHEN held_out THEN NULL ELSE json_extract(reasons, '$[0].words') END AS reason_1, CASE WHEN held_out THEN NULL ELSE json_extract(reasons, '$[1].words') END AS reason_2, CASE WHEN held_out THEN NULL ELSE json_extract(reasons, '$[2].words') END AS reason_3, model_version, json_extract(details, '$.alias') AS alias, CASE WHEN held_out THEN 'held out: one of the customers left unscored, so that the model can be judged on them later' ELSE problem END AS problem, CASE WHEN held_out THEN NULL ELSE previous_probability END AS previous_probability, previous_as_of, scored_at FROM scores WHERE kind = 'win' AND gone_at IS NULL;
CREATE VIEW v_predictions AS SELECT p.kind, p.subject_id, p.account_id, p.owner_id, p.region, p.as_of, p.lead_days, p.end_date, p.probability, p.low, p.high, p.band, p.amount, p.at_risk, p.expected, p.model_version, p.scored_at, o.outcome, o.decided_at FROM prediction_log AS p LEFT JOIN outcomes AS o ON o.kind = p.kind AND o.subject_id = p.subject_id WHERE p.held_out IS NOT TRUE;
CREATE VIEW v_alerts AS SELECT alert_id, rule, severity, title, kind, subject_id, account_id, segment, value, threshold, owner, state, opened_at, last_seen_at, acknowledged_at, acknowledged_by, closed_at, closed_by, closed_because FROM alerts;
CREATE VIEW v_overrides AS SELECT kind, subject_id, account_id, probability, reason, made_by, made_at FROM overrides;
CREATE TABLE experiments (
	experiment_id VARCHAR NOT NULL,
	question VARCHAR NOT NULL,
	choice VARCHAR,
	cluster VARCHAR NOT NULL,
	strata JSON NOT NULL,
	share FLOAT NOT NULL,
	seed BIGINT NOT NULL,
	gap FLOAT NOT NULL,
	level FLOAT NOT NULL,
	power FLOAT NOT NULL,
	followed FLOAT NOT NULL,
	needed INTEGER NOT NULL,
	as_of DATETIME NOT NULL,
	started_at DATETIME NOT NULL,
	started_by VARCHAR,
	ended_at DATETIME,
	ended_by VARCHAR,
	ended_because VARCHAR,
	result JSON,
	PRIMARY KEY (experiment_id)
);
CREATE UNIQUE INDEX experiment_open_once ON experiments (question) WHERE ended_at IS NULL;
CREATE TABLE experiment_accounts (
	experiment_id VARCHAR NOT NULL,
	account_id VARCHAR NOT NULL,
	cluster VARCHAR NOT NULL,
	stratum VARCHAR NOT NULL,
	arm VARCHAR NOT NULL,
	drawn_at DATETIME NOT NULL,
	PRIMARY KEY (experiment_id, account_id),
	FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id) ON DELETE CASCADE
);
CREATE INDEX experiment_by_account ON experiment_accounts (account_id);
CREATE TABLE experiment_subjects (
	experiment_id VARCHAR NOT NULL,
	subject_id VARCHAR NOT NULL,
	account_id VARCHAR NOT NULL,
	joined_at DATETIME NOT NULL,
	matures_at DATETIME NOT NULL,
	PRIMARY KEY (experiment_id, subject_id),
	FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id) ON DELETE CASCADE
);
CREATE INDEX experiment_subject_by_account ON experiment_subjects (account_id);
CREATE TABLE survey_requests (
	request_id VARCHAR NOT NULL,
	account_id VARCHAR NOT NULL,
	contact_id VARCHAR,
	email VARCHAR,
	kind VARCHAR NOT NULL,
	touchpoint VARCHAR NOT NULL,
	"trigger" VARCHAR NOT NULL,
	state VARCHAR NOT NULL,
	attempts INTEGER NOT NULL,
	asked_at DATETIME NOT NULL,
	claimed_at DATETIME,
	sent_at DATETIME,
	error VARCHAR,
	answered_at DATETIME,
	score FLOAT,
	PRIMARY KEY (request_id)
);
CREATE INDEX survey_request_by_account ON survey_requests (account_id, asked_at);
CREATE TABLE tasks (
	task_id VARCHAR NOT NULL,
	alert_id VARCHAR NOT NULL,
	account_id VARCHAR,
	playbook VARCHAR NOT NULL,
	step INTEGER NOT NULL,
	title VARCHAR NOT NULL,
	owner VARCHAR,
	state VARCHAR NOT NULL,
	opened_at DATETIME NOT NULL,
	due_at DATETIME NOT NULL,
	started_at DATETIME,
	closed_at DATETIME,
	closed_by VARCHAR,
	result VARCHAR,
	escalations INTEGER NOT NULL,
	escalated_at DATETIME,
	PRIMARY KEY (task_id)
);
CREATE INDEX task_by_alert ON tasks (alert_id, step);
CREATE INDEX task_by_account ON tasks (account_id);
INSERT INTO alembic_version VALUES ('0006');
INSERT INTO scores (kind, subject_id, account_id, as_of_key, as_of, probability, low, high, band, amount, at_risk,
  model_version, run_id, scored_at, held_out, reasons, details, rank_value)
  VALUES ('renewal', 'C-1', 'A-1', '2025-03-01', '2025-03-01 00:00:00.000000', 0.4, 0.3, 0.5, 'watch', 1000.0, 600.0,
  '1', 'r1', '2025-03-01 02:00:00.000000', 0, '[]', '{}', 600.0);
INSERT INTO prediction_log (kind, subject_id, account_id, as_of_key, as_of, probability, model_version, run_id, scored_at)
  VALUES ('renewal', 'C-1', 'A-1', '2025-03-01', '2025-03-01 00:00:00.000000', 0.4, '1', 'r1', '2025-03-01 02:00:00.000000');
INSERT INTO outcomes VALUES ('renewal', 'C-0', 'A-1', 1, '2025-02-01 00:00:00.000000', '2025-02-02 00:00:00.000000');
