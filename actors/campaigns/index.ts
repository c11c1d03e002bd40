export { type Campaigns, startCampaigns } from './campaigns.ts';
export { createEnroller, type Enroller, type EnrollerDeps } from './enroller.ts';
export { createPlanner, type Planner, type PlannerDeps, type PlannerSlot, type PlannerStatements } from './planner.ts';
export { renderText, TemplateError, type TextLead, templateVariables } from './render.ts';
